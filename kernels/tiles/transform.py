"""The launches that bring X and F into the layout that the im2win kernels read (cuda/im2win_transform.cu)."""

from __future__ import annotations

#: Threads of a block that transforms X or reorders F, and the side of the square of F that such a block transposes.
REORDER_THREADS, REORDER_SIDE = 256, 32

DEFINITIONS = {"REORDER_THREADS": REORDER_THREADS, "REORDER_SIDE": REORDER_SIDE}
#: Program -> name expressions of its kernels.
INSTANCES = {"im2win_transform": ("im2win_transform", "filter_reorder")}
