"""What the measurements mean: the results table, the paper's claims, figures, tables and the report."""
