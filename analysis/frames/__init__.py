"""Tidy frames for the figures, and tables: everything that a figure shows is computed here."""
