"""The CUDA programs of this project: each file of `kernels/cuda/` and the kernels that it is compiled for."""

from __future__ import annotations

from pathlib import Path

from kernels.tiles.tensor_core import MMA_TILES, SLIDING_TILES, WGMMA_TILES
from kernels.tiles.tiled import (
    CLUSTER_BLOCKS,
    CLUSTER_TILES,
    LOADERS,
    RESIDENT_TILE,
    RESIDENT_VALUES,
    TILE_WITHOUT_MICRO_KERNEL,
    TILES,
    Tile,
    fits,
)
from kernels.tiles.winograd import WINOGRAD_TILE

CUDA_FOLDER = Path(__file__).resolve().parents[1] / "cuda"


def _tiled(kernel: str) -> tuple[str, ...]:
    return tuple(f"{kernel}<{tile.arguments}>" for tile in TILES)


def without_micro_kernel() -> str:
    """Name expression of the kernel with one output per thread."""
    tile = TILE_WITHOUT_MICRO_KERNEL
    return f"im2win_without_micro_kernel<{tile.m}, {tile.n}, {tile.k}, {tile.stages}>"


def fused_cluster(blocks: int, loader: str, tile: Tile) -> str:
    """Name expression of the fused kernel whose tiles are shared by clusters of `blocks`."""
    return f"im2win_fused_cluster<{blocks}, {loader}, {tile.arguments}>"


def fused_resident(edge: bool) -> str:
    """Name expression of the fused kernel for short reductions; `edge` if a tile has channels beyond the output."""
    tile = RESIDENT_TILE
    return f"im2win_fused_resident<{tile.m}, {tile.n}, {RESIDENT_VALUES}, {tile.micro_m}, {tile.micro_n}, {int(edge)}>"


def winograd(prepared: bool) -> str:
    """Name expression of the fused kernel with Winograd's minimal filtering; `prepared` if F is transformed before."""
    tile, loader = WINOGRAD_TILE, "PreparedLoader" if prepared else "WeightLoader"
    return f"im2win_winograd<{loader}, {tile.m}, {tile.n}, {tile.k}, {tile.micro_m}, {tile.micro_n}>"


#: Program -> name expressions of its kernels; program `p` is the file `cuda/p.cu`.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "ceilings": ("ffma_rate",),
    "direct": ("direct",),
    "im2win_transform": ("im2win_transform", "filter_reorder"),
    "im2win_base": ("im2win_base",),
    "im2win": _tiled("im2win"),
    "im2win_fused": tuple(
        f"im2win_fused<{loader}, {tile.arguments}>" for loader in LOADERS for tile in TILES if fits(loader, tile)
    ),
    "im2win_fused_cluster": tuple(
        fused_cluster(blocks, loader, tile)
        for blocks in CLUSTER_BLOCKS
        for loader in LOADERS
        for tile in CLUSTER_TILES
        if fits(loader, tile)
    ),
    "im2win_fused_resident": (fused_resident(False), fused_resident(True)),
    "im2win_winograd": (winograd(False), winograd(True), "winograd_filter"),
    "im2win_without_prefetch": _tiled("im2win_without_prefetch"),
    "im2win_without_double_buffering": _tiled("im2win_without_double_buffering"),
    "im2win_without_vectorized_load": _tiled("im2win_without_vectorized_load"),
    "im2win_without_shared_memory": _tiled("im2win_without_shared_memory"),
    "im2win_without_micro_kernel": (without_micro_kernel(),),
    "tensor_core_filter": ("split_filter<2>", "split_filter<3>", "sum_partials"),
    "im2win_tensor_core_wgmma": tuple(tile.expression for tile in WGMMA_TILES),
    "im2win_tensor_core_sliding": tuple(tile.expression for tile in SLIDING_TILES),
    "im2win_tensor_core_mma": tuple(tile.expression for tile in MMA_TILES),
}

#: Options of every compile (arguments of cuda.core's ProgramOptions). Strict FP32 keeps denormals and IEEE division; a
#: multiply and its add are fused, which rounds once instead of twice.
COMPILE_OPTIONS = {"std": "c++17", "ftz": False, "prec_div": True, "prec_sqrt": True, "fma": True}
