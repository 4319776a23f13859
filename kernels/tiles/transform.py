"""The launches that bring X and F into the layout that the im2win kernels read (cuda/im2win_transform.cu)."""

from __future__ import annotations

from ..problem import FLOAT_BYTES, ConvProblem
from .tiled import VECTOR

#: Threads of a block that transforms X or reorders F, and the side of the square of F that such a block transposes.
REORDER_THREADS, REORDER_SIDE = 256, 32

DEFINITIONS = {"REORDER_THREADS": REORDER_THREADS, "REORDER_SIDE": REORDER_SIDE}


def im2win_transform(problem: ConvProblem) -> str:
    """Name expression of the transform of X."""
    return f"im2win_transform<{int(_is_general(problem))}>"


def _is_general(problem: ConvProblem) -> bool:
    """Whether a window's rows are not simply `kernel_h` neighbouring rows of X."""
    return problem.is_padded or problem.rows.dilation > 1


#: Program -> name expressions of its kernels.
INSTANCES = {"im2win_transform": ("im2win_transform<0>", "im2win_transform<1>", "filter_reorder")}


def shared_bytes(problem: ConvProblem, rows: int) -> int:
    """What `rows` neighbouring rows of the window tensor need of X, wherever they begin."""
    alignment = 2 * VECTOR
    return FLOAT_BYTES * (_input_rows(problem, rows) * problem.width + alignment)


def _input_rows(problem: ConvProblem, rows: int) -> int:
    """Rows of X, counted over all channels, that `rows` neighbouring rows of the window tensor need at most."""
    axis, outputs = problem.rows, problem.out_height

    def clamped(row: int) -> int:
        return min(max(row - axis.before, 0), axis.size) if _is_general(problem) else row

    def first(output: int) -> int:
        return clamped(output * axis.stride)

    most = 0
    for output in range(outputs):
        channels, last = divmod(output + rows - 1, outputs)
        most = max(most, channels * axis.size - first(output) + clamped(last * axis.stride + axis.reach))
    return most
