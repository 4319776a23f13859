"""Convolution: the problem, what an algorithm and its plan are, the float64 reference, and launching kernels."""
