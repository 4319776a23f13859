"""The machine: its GPUs, taking turns on them, and what it and its software are."""
