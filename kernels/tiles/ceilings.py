"""The launch that measures the rate of FP32 multiply-adds (cuda/ceilings.cu)."""

from __future__ import annotations

#: Independent chains of dependent multiply-adds in a thread, and multiply-adds of a chain between two branches.
FFMA_CHAINS, FFMA_STEPS = 16, 64
#: Threads of a block, and rounds of FFMA_CHAINS * FFMA_STEPS multiply-adds that each does.
FFMA_THREADS, FFMA_ROUNDS = 512, 256

DEFINITIONS = {"FFMA_CHAINS": FFMA_CHAINS, "FFMA_STEPS": FFMA_STEPS}
#: Program -> name expressions of its kernels.
INSTANCES = {"ceilings": ("ffma_rate",)}
