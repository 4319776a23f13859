"""The algorithms, one module for each family of them."""
