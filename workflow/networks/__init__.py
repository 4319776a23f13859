"""The convolutions of a network: found in a model, and written as a suite."""
