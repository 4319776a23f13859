"""Charts: every module draws one kind of chart from frames, and computes nothing."""
