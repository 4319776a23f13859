"""Convolutions as a model runs them, and what a suite holds of them: each size once, with how often it runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kernels.benchdnn import normal_form
from kernels.problem import Axis, ConvProblem

#: How a network's table calls what is not measured: three directions, and the other way round.
DEPTH, TRANSPOSED = "three dimensions", "transposed convolution"
_ENDS = {1: "w", 2: "hw", 3: "dhw"}


@dataclass(frozen=True)
class Convolution:
    """One call of a convolution, with an axis for each direction: (columns), (rows, columns) or (depth, rows, columns).

    Of a transposed one the axes are those of its input, and `outputs` the sizes of its output.
    """

    in_channels: int
    out_channels: int
    axes: tuple[Axis, ...]
    groups: int = 1
    #: Images in its input, for one image of the model's.
    images: int = 1
    #: Why it cannot be measured here; empty if it can.
    unsupported: str = ""
    outputs: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What a suite calls it: its descriptor in normal form, or a text like it for one that is unsupported."""
        return self._spelled if self.unsupported else normal_form(self.problem)

    @property
    def problem(self) -> ConvProblem:
        """It as a problem, for one image. Raises ProblemError if there can be none."""
        rows, columns = (Axis(1, 1), *self.axes)[-2:]
        return ConvProblem(
            batch=1,
            in_channels=self.in_channels,
            height=rows.size,
            width=columns.size,
            out_channels=self.out_channels,
            kernel_h=rows.kernel,
            kernel_w=columns.kernel,
            # A model may have a stride beyond its input, which has a single output all the same.
            stride=(min(rows.stride, rows.padded), min(columns.stride, columns.padded)),
            padding=((rows.before, rows.after), (columns.before, columns.after)),
            dilation=(rows.dilation, columns.dilation),
            groups=self.groups,
        )

    @property
    def flops(self) -> int:
        """FLOPs of one image: two for each product of the direct convolution."""
        is_transposed = self.unsupported == TRANSPOSED
        # Every element of the output meets the whole filter; of a transposed one, every element of the input.
        places = [axis.size if is_transposed else axis.outputs for axis in self.axes]
        taps = math.prod(axis.kernel for axis in self.axes)
        return 2 * math.prod(places) * taps * self.in_channels * self.out_channels // self.groups

    @property
    def _spelled(self) -> str:
        """As benchdnn would write it, in three dimensions too, with the kind where that does not tell it."""
        entries = {"g": self.groups} if self.groups > 1 else {}
        ends = dict(zip(_ENDS[len(self.axes)], self.axes, strict=True))
        entries |= {"ic": self.in_channels, **{f"i{end}": axis.size for end, axis in ends.items()}}
        entries |= {"oc": self.out_channels}
        entries |= {f"o{end}": size for end, size in zip(ends, self.outputs, strict=False)}
        entries |= {f"k{end}": axis.kernel for end, axis in ends.items()}
        entries |= {f"s{end}": axis.stride for end, axis in ends.items() if axis.stride > 1}
        entries |= {f"p{end}": axis.before for end, axis in ends.items() if axis.before}
        entries |= {f"d{end}": axis.dilation - 1 for end, axis in ends.items() if axis.dilation > 1}
        descriptor = "".join(f"{key}{value}" for key, value in entries.items())
        return descriptor if self.unsupported == DEPTH else f"{self.unsupported.split()[0]} {descriptor}"


@dataclass
class Entry:
    """A size of convolution in a network, and how many times one forward pass of one image runs it."""

    name: str
    flops: int
    unsupported: str
    count: int = 0
    #: The modules that run it, in the order of their first call.
    modules: list[str] = field(default_factory=list)


def reason(dimensions: int, is_transposed: bool) -> str:
    """Why such a convolution is unsupported; empty if it is not."""
    return TRANSPOSED if is_transposed else DEPTH if dimensions > 2 else ""


def axes_of(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> tuple[Axis, ...]:
    """An axis for each direction."""
    given = zip(sizes, kernel, stride, padding, dilation, strict=True)
    return tuple(Axis(size, taps, step, *sides, spread) for size, taps, step, sides, spread in given)


def entries(found: Iterable[tuple[str, Convolution]]) -> list[Entry]:
    """Each size once, in the order of its first run, of (module, convolution) as a forward pass of one image runs them.

    Raises ProblemError for a convolution that cannot exist.
    """
    made: dict[str, Entry] = {}
    for module, convolution in found:
        name = convolution.name
        entry = made.setdefault(name, Entry(name, convolution.flops, convolution.unsupported))
        entry.count += convolution.images
        if module not in entry.modules:
            entry.modules.append(module)
    return list(made.values())
