"""The CUDA programs: each file of `kernels/cuda/`, and the kernels that it is compiled for."""

from __future__ import annotations

from pathlib import Path

from ..tiles import (
    ceilings,
    depthwise,
    grouped,
    tensor_core,
    tensor_core_sliding,
    tensor_core_winograd,
    tiled,
    transform,
    untiled,
    winograd,
)

CUDA_FOLDER = Path(__file__).resolve().parents[1] / "cuda"
#: The modules that say which instances of a program's templates are compiled, and which constants it shares with them.
TILE_MODULES = (
    ceilings,
    depthwise,
    grouped,
    tensor_core,
    tensor_core_sliding,
    tensor_core_winograd,
    tiled,
    transform,
    untiled,
    winograd,
)

_INSTANCES = {program: listed for module in TILE_MODULES for program, listed in module.INSTANCES.items()}

#: Program -> name expressions of its kernels; program `p` is the file `cuda/p.cu`. One whose instances nobody lists has
#: one kernel, of its own name.
PROGRAMS: dict[str, tuple[str, ...]] = {
    path.stem: _INSTANCES.get(path.stem, (path.stem,)) for path in sorted(CUDA_FOLDER.glob("*.cu"))
}
#: Macro -> value: the constants that host and device share. Each is written once, in Python, and handed to the compiler
#: as a macro of the same name, which no other identifier of `kernels/cuda` may have.
DEFINITIONS: dict[str, int] = {name: value for module in TILE_MODULES for name, value in module.DEFINITIONS.items()}

#: Options of every compile (arguments of cuda.core's ProgramOptions). Strict FP32 keeps denormals and IEEE division; a
#: multiply and its add are fused, which rounds once instead of twice.
COMPILE_OPTIONS = {"std": "c++17", "ftz": False, "prec_div": True, "prec_sqrt": True, "fma": True}
