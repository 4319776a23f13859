"""CUTLASS's implicit GEMM: what its memory and its sizes mean, what it declines, and that every tile compiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from kernels import algorithm as algorithms
from kernels.baselines import cutlass, cutlass_source
from kernels.baselines.cutlass import CutlassPlan, nchw, nhwc_shape, problem_sizes
from kernels.baselines.cutlass_source import PARAMETER_BYTES, TILES, VECTOR, Tile, cubin_of, header_folders
from kernels.build.compile import disassemble
from kernels.plan import UnsupportedError
from kernels.problem import ConvProblem
from tests.problems import EDGES, MIXED
from tests.relative import BOUND, backward_error

PROBLEMS = [problem for problem in EDGES + MIXED if problem.groups == 1]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_what_cutlass_is_given(problem: ConvProblem) -> None:
    """Its convolution (Conv2dProblemSize), written out: of NHWC memory, from its integers alone."""
    x, f = torch.rand(problem.input_shape), torch.rand(problem.filter_shape) - 0.5
    memory_x = torch.zeros(nhwc_shape(problem.input_shape))
    memory_f = torch.zeros(nhwc_shape(problem.filter_shape, is_filter=True))
    memory_y = torch.full(nhwc_shape(problem.output_shape), torch.nan)
    nchw(memory_x, x.shape).copy_(x)
    nchw(memory_f, f.shape).copy_(f)
    n, h, w, c, k, r, s, p, q, pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w = problem_sizes(
        problem, memory_x.shape, memory_y.shape
    )
    assert (n, h, w, c) == memory_x.shape
    assert (k, r, s, c) == memory_f.shape
    assert (n, p, q, k) == memory_y.shape
    assert c % VECTOR == k % VECTOR == 0
    below = (p - 1) * stride_h + (r - 1) * dilation_h + 1 - h - pad_h
    right = (q - 1) * stride_w + (s - 1) * dilation_w + 1 - w - pad_w
    padded = functional.pad(memory_x.permute(0, 3, 1, 2), (pad_w, right, pad_h, below))
    stride, dilation = (stride_h, stride_w), (dilation_h, dilation_w)
    result = functional.conv2d(padded, memory_f.permute(0, 3, 1, 2), stride=stride, dilation=dilation)
    memory_y.copy_(result.permute(0, 2, 3, 1))
    assert backward_error(x, f, nchw(memory_y, problem.output_shape), problem) <= BOUND


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (ConvProblem(2, 6, 9, 8, 9, 3, 3, groups=3), "it takes no groups"),
        (ConvProblem(1, 1, 40, 40, 1, 33, 3), "at most 32 rows and columns"),
        (ConvProblem(2**10, 2**10, 2**6, 2**6, 1, 1, 1), "2\\^31 or more values"),
    ],
    ids=str,
)
def test_what_it_declines(problem: ConvProblem, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutlass, "header_folders", lambda: [])
    with pytest.raises(UnsupportedError, match=reason):
        CutlassPlan(problem, torch.device("cpu"))


def test_without_a_gpu() -> None:
    algorithm = algorithms.load("cutlass_3xtf32", cutlass.__name__)
    with pytest.raises(UnsupportedError, match="needs an NVIDIA GPU"):
        algorithm.plan(PROBLEMS[0], torch.device("cpu"), None, tf32=False)


def test_without_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cutlass_source, "find_spec", lambda name: None)
    monkeypatch.setattr(cutlass_source, "find_nvidia_header_directory", lambda name: None)
    missing = "nvidia-cutlass, nvidia-cuda-runtime, nvidia-cuda-crt, nvidia-cuda-cccl"
    with pytest.raises(UnsupportedError, match=f"headers are missing of {missing}: pip install"):
        header_folders()
    monkeypatch.setattr(cutlass_source, "find_nvidia_header_directory", lambda name: str(tmp_path))
    with pytest.raises(UnsupportedError, match="headers are missing of nvidia-cutlass, nvidia-cuda-crt: pip install"):
        header_folders()


def test_headers_that_do_not_compile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of an installation that lacks some: told in one line, as any other reason why it cannot be measured."""
    (tmp_path / "cutlass").mkdir()
    for name in ("cutlass.h", "version.h"):
        (tmp_path / "cutlass" / name).write_text('#include "cccl/cuda/std/type_traits"\n')
    monkeypatch.setattr(cutlass_source, "header_folders", lambda: [str(tmp_path)])
    monkeypatch.setenv("IM2WIN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        UnsupportedError, match="NVRTC does not compile CUTLASS's headers: .*cannot open source file"
    ) as e:
        cubin_of(TILES[0], False, "sm_90a")
    assert "\n" not in str(e.value)
    assert not list((tmp_path / "cache").glob("*.cubin"))


@pytest.mark.slow
@pytest.mark.parametrize("few_channels", [False, True])
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_it_compiles(tile: Tile, few_channels: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kernels, the convolution on tensor cores; the second time from the cache."""
    try:
        header_folders()
    except UnsupportedError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("IM2WIN_CACHE", str(tmp_path))
    cubin = cubin_of(tile, few_channels, "sm_90a")
    assert all(name in cubin for name in (b"make_parameters", b"convolve"))
    if code := disassemble(cubin):
        opcodes = [instruction["opcode"] for instruction in code["convolve"]]
        assert sum(opcode.startswith("HMMA") and "TF32" in opcode for opcode in opcodes) > 0
    monkeypatch.setattr(cutlass_source, "Program", None)
    assert cubin_of(tile, few_channels, "sm_90a") == cubin
    assert PARAMETER_BYTES <= 4096  # what a launch takes
