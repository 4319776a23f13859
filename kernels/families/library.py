"""What the plans that call a library share: padding that the library does not take."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod

import torch

from ..plan import Plan
from ..problem import FLOAT_BYTES, ConvProblem


class LibraryPlan(Plan):
    """Calls a library that pads a direction by the same number before and after.

    Padding that differs is written out first, as a user of the library has to: X is copied into a buffer whose border
    is zero, in `compute`, as the library's own padding is. What the library is then asked for has no padding.
    """

    def __init__(self, problem: ConvProblem, device: torch.device) -> None:
        #: What the library is asked for: the problem itself, or that of the padded input.
        self._problem = problem
        self._padded: torch.Tensor | None = None
        if not problem.is_padded_evenly:
            self._problem = dataclasses.replace(
                problem,
                height=problem.rows.padded,
                width=problem.columns.padded,
                padding=((0, 0), (0, 0)),
            )
            self._padded = torch.zeros(self._problem.input_shape, device=device)
            (above, _), (left, _) = problem.padding
            self._inside = self._padded[:, :, above : above + problem.height, left : left + problem.width]

    @property
    def _padded_bytes(self) -> int:
        return 0 if self._padded is None else FLOAT_BYTES * math.prod(self._padded.shape)

    @property
    def _padding(self) -> tuple[int, int]:
        """Padding of the rows and of the columns that is left to the library, on either side."""
        (above, _), (left, _) = self._problem.padding
        return (above, left)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        if self._padded is not None:
            self._inside.copy_(x)
            x = self._padded
        self._convolve(x, f, y)

    @abstractmethod
    def _convolve(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        """Write `_problem`'s convolution of X, padded if need be, and F into Y."""
