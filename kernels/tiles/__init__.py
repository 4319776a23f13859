"""Tile shapes of the CUDA kernels and the choice among them for a problem. Needs neither PyTorch nor CUDA."""
