"""From CUDA sources to cubins: which programs there are, compiling them, and the hash of their meaning."""
