"""Numbers derived from a results table (ratios, intervals, verdicts, staleness), and the paper's published numbers."""
