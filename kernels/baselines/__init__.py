"""Further baselines, beside those of the paper: what else a user of PyTorch could choose."""
