"""cuDNN's handles and descriptors are given back, whatever happens, with a stand-in for the library."""

from __future__ import annotations

from collections import Counter
from ctypes import c_int

import pytest

from kernels.families import cudnn_library
from kernels.families.cudnn_library import Convolution, CudnnError
from kernels.problem import ConvProblem

PROBLEM = ConvProblem(2, 6, 9, 8, 4, 3, 5, stride=(1, 2), padding=(3, 4), dilation=(2, 1), groups=2)


class FakeLibrary:
    """Counts calls; the one that is named in `failing` fails with CUDNN_STATUS_BAD_PARAM."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.calls: Counter[str] = Counter()
        #: The numbers among the arguments of a function's calls.
        self.numbers: dict[str, list[tuple[int, ...]]] = {}

    def __getattr__(self, name: str) -> object:
        if name == "cudnnGetLastErrorString":
            raise AttributeError(name)

        def call(*arguments: object) -> object:
            self.calls[name] += 1
            self.numbers.setdefault(name, []).append(tuple(one for one in arguments if isinstance(one, int)))
            if name == "cudnnGetErrorString":
                return b"as the test asks"
            return c_int(3).value if name == self.failing else 0

        return call

    def alive(self) -> dict[str, int]:
        """Kind of object -> how many of those created are not destroyed."""
        kinds = ("", "TensorDescriptor", "FilterDescriptor", "ConvolutionDescriptor")
        counts = {kind: self.calls[f"cudnnCreate{kind}"] - self.calls[f"cudnnDestroy{kind}"] for kind in kinds}
        return {kind: count for kind, count in counts.items() if count}


def test_all_that_was_created_is_destroyed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary()
    monkeypatch.setattr(cudnn_library, "library", lambda: library)
    convolution = Convolution(PROBLEM, tf32=False)
    assert library.alive() == {"": 1, "TensorDescriptor": 2, "FilterDescriptor": 1, "ConvolutionDescriptor": 1}
    convolution.close()
    assert library.alive() == {}
    convolution.close()
    assert library.alive() == {}


@pytest.mark.parametrize(
    "failing", ["cudnnCreateFilterDescriptor", "cudnnSetTensor4dDescriptor", "cudnnSetConvolutionMathType"]
)
def test_what_was_created_before_a_failure_is_destroyed(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    library = FakeLibrary(failing)
    monkeypatch.setattr(cudnn_library, "library", lambda: library)
    with pytest.raises(CudnnError, match="as the test asks"):
        Convolution(PROBLEM, tf32=False)
    library.calls[failing] -= failing.startswith("cudnnCreate")  # the call that failed created nothing
    assert library.alive() == {}


def test_what_cudnn_is_told_of_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes in the order of the API reference; a filter's channels are those of a group."""
    library = FakeLibrary()
    monkeypatch.setattr(cudnn_library, "library", lambda: library)
    Convolution(PROBLEM, tf32=False)
    nchw, single = 0, 0
    assert library.numbers["cudnnSetTensor4dDescriptor"] == [
        (nchw, single, 2, 6, 9, 8),
        (nchw, single, *PROBLEM.output_shape),
    ]
    assert library.numbers["cudnnSetFilter4dDescriptor"] == [(single, nchw, 4, 3, 3, 5)]
    padding, stride, dilation, correlation = (3, 4), (1, 2), (2, 1), 1
    assert library.numbers["cudnnSetConvolution2dDescriptor"] == [(*padding, *stride, *dilation, correlation, single)]
    assert library.numbers["cudnnSetConvolutionGroupCount"] == [(2,)]
