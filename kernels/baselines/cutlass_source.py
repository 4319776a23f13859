"""The CUDA program that instantiates CUTLASS's implicit GEMM, and compiling it with NVRTC. Needs no GPU."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from cuda.bindings import nvrtc
from cuda.core import Program, ProgramOptions
from cuda.pathfinder import find_nvidia_header_directory
from filelock import FileLock

from ..model.programs import cache_folder
from ..plan import UnsupportedError


@dataclass(frozen=True)
class Tile:
    """Pixels, output channels and reduction of a block; pixels and output channels of a warp; stages."""

    pixels: int
    channels: int
    step: int
    warp_pixels: int
    warp_channels: int
    stages: int


#: As CUTLASS's own library has them for this operator. The first one runs until the plan has chosen.
TILES = (
    Tile(64, 64, 16, 32, 32, 3),
    Tile(128, 64, 16, 64, 32, 4),
    Tile(128, 128, 16, 32, 64, 3),
    Tile(256, 64, 16, 64, 32, 3),
    Tile(128, 128, 32, 32, 64, 3),
)
#: Channels that one copy moves: X, F and Y have a multiple of it.
VECTOR = 4
#: The most bytes that a kernel's parameters can have.
PARAMETER_BYTES = 4096

#: CUTLASS computes the kernel's parameters on the host, but its constructors also compile for the device: a kernel of
#: one thread makes them, once. `facts` is what a launch needs: bytes of the parameters, threads, bytes of shared
#: memory, the grid.
SOURCE = """
#include "cutlass/cutlass.h"
#include "cutlass/conv/kernel/default_conv2d_fprop.h"
#include "cutlass/epilogue/thread/linear_combination.h"

using Layout = cutlass::layout::TensorNHWC;
using Kernel = typename cutlass::conv::kernel::DefaultConv2dFprop<
    float, Layout, float, Layout, float, Layout, float,
    cutlass::arch::OpClassTensorOp, cutlass::arch::Sm80,
    cutlass::gemm::GemmShape<TILE_M, TILE_N, TILE_K>, cutlass::gemm::GemmShape<WARP_M, WARP_N, TILE_K>,
    cutlass::gemm::GemmShape<16, 8, 8>,
    cutlass::epilogue::thread::LinearCombination<float, VECTOR, float, float>,
    cutlass::gemm::threadblock::GemmIdentityThreadblockSwizzle<1>, STAGES,
    cutlass::arch::OpMultiplyAddFastF32, cutlass::conv::IteratorAlgorithm::ITERATOR,
    cutlass::conv::StrideSupport::kStrided, VECTOR, VECTOR>::Kernel;
static_assert(sizeof(Kernel::Params) <= PARAMETER_BYTES);

extern "C" __global__ void make_parameters(
    int n, int h, int w, int c, int k, int r, int s, int p, int q, int pad_h, int pad_w, int stride_h, int stride_w,
    int dilation_h, int dilation_w, float* x, float* f, float* y, int* facts, Kernel::Params* parameters) {
  cutlass::conv::Conv2dProblemSize problem(n, h, w, c, k, r, s, p, q, pad_h, pad_w, stride_h, stride_w, dilation_h,
                                           dilation_w, cutlass::conv::Mode::kCrossCorrelation);
  Kernel::TensorRefC output(y, Layout::packed({n, p, q, k}));
  Kernel::Arguments arguments(problem, {x, Layout::packed({n, h, w, c})}, {f, Layout::packed({k, r, s, c})}, output,
                              output, {1.0f, 0.0f});
  *parameters = Kernel::Params(arguments);
  facts[0] = sizeof(Kernel::Params);
  facts[1] = Kernel::kThreadCount;
  facts[2] = sizeof(Kernel::SharedStorage);
  facts[3] = parameters->grid_tiled_shape.m();
  facts[4] = parameters->grid_tiled_shape.n();
}

extern "C" __global__ void __launch_bounds__(Kernel::kThreadCount)
convolve(__grid_constant__ Kernel::Params const parameters) {
  extern __shared__ __align__(16) char memory[];
  Kernel()(parameters, *reinterpret_cast<Kernel::SharedStorage*>(memory));
}
"""


def header_folders() -> list[str]:
    """Folders with the headers of CUTLASS, CUDA and CCCL. Raises UnsupportedError that names those that are missing."""
    library = find_spec("cutlass_library")
    inside = Path(library.origin).parent / "source" / "include" if library and library.origin else None
    runtime, cccl = find_nvidia_header_directory("cudart"), find_nvidia_header_directory("cccl")
    found = {
        "nvidia-cutlass": inside and (inside / "cutlass" / "cutlass.h").is_file(),
        "nvidia-cuda-runtime": runtime,
        "nvidia-cuda-crt": runtime and (Path(runtime) / "crt" / "mma.h").is_file(),
        "nvidia-cuda-cccl": cccl,
    }
    if missing := [package for package, there in found.items() if not there]:
        raise UnsupportedError(f"headers are missing of {', '.join(missing)}: pip install '.[cutlass]' brings them")
    # CUTLASS includes <cuda/std/...> or <cccl/cuda/std/...>, as the headers' version has it.
    return [str(inside), str(runtime), str(cccl), str(Path(str(cccl)).parent)]


def cubin_of(tile: Tile, few_channels: bool, architecture: str) -> bytes:
    """The program for one tile, compiled or from the cache of `kernels.model.programs`.

    `few_channels` is for X with VECTOR channels. Raises UnsupportedError where headers are missing or do not compile.
    """
    folders = header_folders()
    definitions = {
        "TILE_M": tile.pixels,
        "TILE_N": tile.channels,
        "TILE_K": tile.step,
        "WARP_M": tile.warp_pixels,
        "WARP_N": tile.warp_channels,
        "STAGES": tile.stages,
        "VECTOR": VECTOR,
        "PARAMETER_BYTES": PARAMETER_BYTES,
        "ITERATOR": "kFixedChannels" if few_channels else "kOptimized",
    }
    version = (Path(folders[0]) / "cutlass" / "version.h").read_text()
    identity = "\0".join((SOURCE, version, str(definitions), architecture, str(nvrtc.nvrtcVersion())))
    path = cache_folder() / f"cutlass-{sha256(identity.encode()).hexdigest()[:32]}.cubin"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            options = ProgramOptions(
                name="cutlass.cu",
                arch=architecture,
                std="c++17",
                include_path=folders,
                define_macro=[(name, str(value)) for name, value in definitions.items()],
                device_as_default_execution_space=True,
            )
            try:
                code = Program(SOURCE, "c++", options).compile("cubin").code
            except Exception as error:  # of no class that cuda.core documents
                first = next((line for line in str(error).splitlines() if "error:" in line), str(error))
                raise UnsupportedError(f"NVRTC does not compile CUTLASS's headers: {first[:200]}") from error
            written = path.with_suffix(".new")
            written.write_bytes(bytes(code))
            written.replace(path)
    return path.read_bytes()
