"""The convolution problem: its sizes, its work and its least memory traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

FLOAT_BYTES = 4


class ProblemError(ValueError):
    """A convolution problem that cannot exist; the message names the size at fault."""


@dataclass(frozen=True)
class ConvProblem:
    """A forward convolution in FP32, NCHW, without padding (paper, section 2).

    Input X[batch][in_channels][height][width], filter F[out_channels][in_channels][kernel_h][kernel_w],
    output Y[batch][out_channels][out_height][out_width]. All sizes are in elements.

    Raises ProblemError if a size is not a positive integer, or the filter exceeds its input.
    """

    batch: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel_h: int
    kernel_w: int
    stride: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ProblemError(f"{field.name} is {value!r}; it must be a positive integer")
        for kernel, size in (("kernel_h", "height"), ("kernel_w", "width")):
            if getattr(self, kernel) > getattr(self, size):
                raise ProblemError(
                    f"{kernel} is {getattr(self, kernel)} but the input's {size} is only {getattr(self, size)}: "
                    "the filter must fit into its input, there is no padding"
                )
        # With one output row or column a longer stride changes nothing: it is a mistake in the layer.
        if self.stride > max(self.height, self.width):
            raise ProblemError(
                f"stride is {self.stride} but the input is only {self.height} x {self.width}: "
                "a stride beyond the input leaves no second output in either direction"
            )

    @classmethod
    def from_layer(cls, layer: Mapping[str, Any], batch: int) -> ConvProblem:
        """The convolution of a layer: a mapping with the sizes by their names here, as conf/layer/ and results hold it.

        Raises ProblemError if there can be no such convolution.
        """
        sizes = {field.name: layer[field.name] for field in fields(cls) if field.name in layer}
        return cls(**sizes | {"batch": batch})

    @property
    def out_height(self) -> int:
        return (self.height - self.kernel_h) // self.stride + 1

    @property
    def out_width(self) -> int:
        return (self.width - self.kernel_w) // self.stride + 1

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.in_channels, self.height, self.width)

    @property
    def filter_shape(self) -> tuple[int, int, int, int]:
        return (self.out_channels, self.in_channels, self.kernel_h, self.kernel_w)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.out_channels, self.out_height, self.out_width)

    @property
    def window_tensor_shape(self) -> tuple[int, int, int, int]:
        """Shape of the im2win tensor I[batch][in_channels][out_height][width * kernel_h] (section 3.1)."""
        return (self.batch, self.in_channels, self.out_height, self.width * self.kernel_h)

    @property
    def gemm_shape(self) -> tuple[int, int, int]:
        """(M, N, K) of the equivalent matrix product: M = Cout, N = batch * Ho * Wo, K = Cin * Hf * Wf."""
        return (
            self.out_channels,
            self.batch * self.out_height * self.out_width,
            self.in_channels * self.kernel_h * self.kernel_w,
        )

    @property
    def flops(self) -> int:
        """Floating-point operations of the direct convolution: one multiply and one add per product."""
        m, n, k = self.gemm_shape
        return 2 * m * n * k

    @property
    def tensor_bytes(self) -> int:
        """Bytes of X, F and Y: what any algorithm must hold, and the least that it must move."""
        total = 0
        for n, c, h, w in (self.input_shape, self.filter_shape, self.output_shape):
            total += n * c * h * w
        return FLOAT_BYTES * total

    @property
    def window_tensor_bytes(self) -> int:
        n, c, h, w = self.window_tensor_shape
        return FLOAT_BYTES * n * c * h * w
