"""The convolution in a PyTorch model: an operator that stands for `conv2d`, and modules that call it."""
