"""One run in a folder of results: its lock, what an earlier run left behind, stopping."""
