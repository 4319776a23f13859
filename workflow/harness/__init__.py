"""How one point is measured. Whatever is in this folder is in the harness' hash."""
