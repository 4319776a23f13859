"""The im2win convolution: the paper's base and optimized versions, the latter's ablations, and a fused version."""

from __future__ import annotations

import torch

from ..algorithm import Algorithm, register, require_kernels
from ..launch import THREADS, KernelLibrary, has_clusters, problem_arguments
from ..plan import OverlappingPlan, Plan, UnsupportedError, take_only
from ..problem import FLOAT_BYTES, ConvProblem
from ..tiles.tiled import (
    COLUMN_TAPS,
    MAX_COLUMN_TAPS,
    RESIDENT_FILTER,
    RESIDENT_TILE,
    RESIDENT_VALUES,
    TILE_WITHOUT_MICRO_KERNEL,
    VECTOR,
    Schedule,
    Tile,
    choose_schedule,
    fused,
    fused_cluster,
    fused_resident,
    takes_resident,
    without_micro_kernel,
)
from ..tiles.untiled import im2win_base
from .im2win_transform import FilterReorder, Transform

#: The bits of a value beyond the reduction: one that no window has.
_NO_TAP = -(2**31)


class BasePlan(Plan):
    """One thread per output value. Workspace: the window tensor, and the reordered filter."""

    def __init__(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary) -> None:
        _, pixels, _ = problem.gemm_shape
        self._grid = (-(-pixels // THREADS), problem.out_channels)
        self._kernel = kernels.kernel("im2win_base", im2win_base(problem.columns.dilation > 1 or problem.groups > 1))
        self._kernels, self._sizes = kernels, problem_arguments(problem)
        self._reorder = FilterReorder(problem, device, kernels, None, by_columns=True)
        self._transform = Transform(problem, device, kernels, self._reorder)
        self.workspace_bytes = FLOAT_BYTES * (self._transform.window.numel() + self._reorder.filter.numel())

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        self._transform(x, f)

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        sizes = (self._reorder.channels, *self._sizes)
        self._kernels.launch(self._kernel, self._grid, THREADS, self._transform.window, self._reorder.filter, y, *sizes)


class TiledPlan(OverlappingPlan):
    """Transforms X, if the kernel reads the window tensor, and reorders F in `prepare`; `compute` is one kernel.

    Workspace: the window tensor, 1/Wf of what im2col would need at stride 1 (section 3.1), unless the kernel reads X
    itself; the reordered filter; four bytes for each value of the reduction and for each fix-up semaphore.
    """

    def __init__(
        self,
        problem: ConvProblem,
        device: torch.device,
        kernels: KernelLibrary,
        program: str,
        expression: str,
        schedule: Schedule,
        fused: bool = False,
    ) -> None:
        """`expression` names the kernel of `program` that `compute` launches. `fused` if it reads X itself.

        Raises UnsupportedError for a problem that the kernels do not take.
        """
        _take(problem, fused)
        tile = schedule.tile
        tiles, steps = tile.blocks(problem), tile.steps(problem)
        _check_span(problem, tile, fused)
        self._kernels = kernels
        self._kernel = kernels.kernel(program, expression)
        self._threads = tile.threads
        steps_per_block = schedule.steps_per_block(problem, kernels.resident_blocks(self._kernel, tile.threads))
        if tiles * steps + steps_per_block >= 2**31:
            raise UnsupportedError("the problem has 2^31 or more of what the kernels count in 32 bits")
        self._grid = (-(-tiles * steps // steps_per_block),)
        self._overlaps = kernels.fills_device(self._kernel, self._grid[0], tile.threads)
        self._reorder = FilterReorder(problem, device, kernels, tile, by_columns=not fused)
        self._transform = None if fused else Transform(problem, device, kernels, self._reorder)
        self._k_bytes = _k_bytes(problem, tile, fused).to(device)
        self._semaphores = torch.zeros(tiles * tile.semaphores, dtype=torch.int32, device=device)
        self.semaphores = (self._semaphores,)
        self._sizes = (steps_per_block, self._reorder.channels, *problem_arguments(problem))
        tensors = [self._reorder.filter, self._k_bytes, self._semaphores]
        if self._transform is not None:
            tensors.append(self._transform.window)
        self.workspace_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @property
    def window(self) -> torch.Tensor:
        """The window tensor, as last prepared."""
        assert self._transform is not None, "a fused kernel has no window tensor"
        return self._transform.window

    def prepare(self, x: torch.Tensor, f: torch.Tensor) -> None:
        if self._transform is None:
            self._reorder(f)
        else:
            self._transform(x, f)

    def _multiply(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor, overlap: bool) -> None:
        source = x if self._transform is None else self._transform.window
        tensors = (source, self._reorder.filter, y, self._k_bytes, self._semaphores)
        self._kernels.launch(self._kernel, self._grid, self._threads, *tensors, *self._sizes, overlap=overlap)


class ClusterPlan(Plan):
    """The fused kernel for few tiles, each shared by the blocks of a cluster.

    It reads F in its own layout. Workspace: four bytes for each value of the reduction.
    """

    def __init__(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary, schedule: Schedule) -> None:
        """Raises UnsupportedError if the reduction has too few steps for a cluster's blocks, or too many values."""
        _take(problem, fused=True)
        tile, self._cluster = schedule.tile, schedule.cluster
        if tile.steps(problem) < self._cluster:
            raise UnsupportedError(f"{self._cluster} blocks cannot share {tile.steps(problem)} steps of the reduction")
        _check_span(problem, tile, fused=True)
        if FLOAT_BYTES * tile.m * problem.gemm_shape[2] >= 2**32:
            raise UnsupportedError("the filter of the channels of a tile has 2^32 bytes or more")
        self._kernels, self._threads = kernels, tile.threads
        expression = fused_cluster(self._cluster, schedule.loader, tile, problem.is_padded)
        self._kernel = kernels.kernel("im2win_fused_cluster", expression)
        stages = tile.stages * tile.k * (tile.m + tile.n + 2 * VECTOR)
        self._shared_bytes = FLOAT_BYTES * max(stages, tile.m * tile.n)  # later the sums lie where the stages were
        kernels.allow_shared(self._kernel, self._shared_bytes)
        self._grid = (tile.blocks(problem) * self._cluster,)
        self._k_bytes = _k_bytes(problem, tile, fused=True).to(device)
        self._sizes = problem_arguments(problem)
        self.workspace_bytes = FLOAT_BYTES * self._k_bytes.numel()

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        self._kernels.launch(
            self._kernel,
            self._grid,
            self._threads,
            x,
            f,
            y,
            self._k_bytes,
            *self._sizes,
            shared_bytes=self._shared_bytes,
            cluster=self._cluster,
        )


class ResidentPlan(Plan):
    """The fused kernel for short reductions, which reorders F itself. Workspace: four bytes for each of its values."""

    def __init__(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary) -> None:
        """Raises UnsupportedError for a problem that it does not take."""
        _take(problem, fused=True)
        if not takes_resident(problem):
            raise UnsupportedError(
                f"the kernel for short reductions takes {RESIDENT_VALUES} values of the reduction, and images with a "
                "multiple of four output pixels"
            )
        tile = RESIDENT_TILE
        self._kernels = kernels
        m, n, _ = problem.gemm_shape
        expression = fused_resident(m % tile.m != 0, problem.is_padded)
        self._kernel = kernels.kernel("im2win_fused_resident", expression)
        self._shared_bytes = FLOAT_BYTES * tile.k * (tile.m + 2 * (tile.n + VECTOR))
        kernels.allow_shared(self._kernel, self._shared_bytes)
        tiles_m, tiles_n = -(-m // tile.m), -(-n // tile.n)
        # All blocks are resident at once, one on each multiprocessor.
        blocks = kernels.resident_blocks(self._kernel, tile.threads, self._shared_bytes)
        self._grid = (max(1, min(tiles_n, blocks // tiles_m)), tiles_m)
        self._k_bytes = _k_bytes(problem, tile, fused=True).to(device)
        self._sizes = problem_arguments(problem)
        self.workspace_bytes = self._k_bytes.numel() * self._k_bytes.element_size()

    def compute(self, x: torch.Tensor, f: torch.Tensor, y: torch.Tensor) -> None:
        launch, threads = self._kernels.launch, RESIDENT_TILE.threads
        tensors = (x, f, y, self._k_bytes)
        launch(self._kernel, self._grid, threads, *tensors, *self._sizes, shared_bytes=self._shared_bytes)


def _take(problem: ConvProblem, fused: bool) -> None:
    """Raises UnsupportedError for a problem that the tiled kernels do not take. `fused` if they read X itself."""
    take_only(problem, padding=True, dilation=True)
    rows, columns = COLUMN_TAPS, MAX_COLUMN_TAPS
    if fused and problem.is_padded and (problem.kernel_h > rows or problem.kernel_w > columns):
        raise UnsupportedError(f"with padding it takes filters of at most {rows} rows and {columns} columns")


def _check_span(problem: ConvProblem, tile: Tile, fused: bool) -> None:
    """A tile's pixels lie as near its first one as the loaders' offsets reach, or UnsupportedError."""
    pixels = problem.out_height * problem.out_width
    images = min(problem.batch, -(-tile.n // pixels) + 1)
    source = FLOAT_BYTES * problem.in_channels * problem.height * problem.width
    # Windows that begin in the padding may lie before that of the first pixel: there offsets have a sign.
    bits = 31 if fused and problem.is_padded else 32
    if images * (source if fused else problem.window_tensor_bytes // problem.batch) >= 2**bits:
        raise UnsupportedError(f"the images that share a tile have 2^{bits} bytes or more")


def _k_bytes(problem: ConvProblem, tile: Tile, fused: bool) -> torch.Tensor:
    """Where value k of a pixel's window lies, in bytes from its first one; -1 for k beyond the reduction.

    In the window tensor k = (channel, column, row) and a column's values are contiguous; in X k = (channel, row,
    column). The kernel reads one step ahead of what it uses. If windows of X may reach into padding, a second table
    follows: the bits of each value's row and column (taps_inside in cuda/include/loaders.cuh).
    """
    _, _, reduction = problem.gemm_shape
    k = torch.arange(reduction)
    window = problem.kernel_h * problem.kernel_w
    channel, within = k // window, k % window
    row_dilation, column_dilation = problem.dilation
    if fused:
        row, column = within // problem.kernel_w, within % problem.kernel_w
        offsets = (channel * problem.height + row * row_dilation) * problem.width + column * column_dilation
    else:
        column, row = within // problem.kernel_h, within % problem.kernel_h
        in_channel = column * column_dilation * problem.kernel_h + row
        offsets = channel * problem.out_height * problem.window_tensor_shape[3] + in_channel
    values = (tile.steps(problem) + 1) * tile.k
    table = torch.full((values,), -1, dtype=torch.int32)
    table[:reduction] = FLOAT_BYTES * offsets
    if not (fused and problem.is_padded):
        return table
    taps = torch.full((values,), _NO_TAP, dtype=torch.int32)
    taps[:reduction] = 2**row + 2 ** (COLUMN_TAPS + column)
    return torch.cat([table, taps])


class Tiled(Algorithm):
    """A tiled kernel. Parameter `schedule`: a stored winner (Schedule.to_parameters); without it a rule chooses."""

    def schedule(self, problem: ConvProblem, device: torch.device) -> Schedule:
        """How the kernel is run for this problem.

        Raises ValueError if a stored winner names a kernel that is not compiled.
        """
        if (stored := self.parameters.get("schedule")) is not None:
            return Schedule.from_parameters(stored)
        multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
        return choose_schedule(problem, multiprocessors, self.name == "im2win_fused", has_clusters(device))


@register("im2win_base")
class Im2winBase(Algorithm):
    """No optimization: one thread per output value over the window tensor (cuda/im2win_base.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        return BasePlan(problem, device, require_kernels(kernels))


@register("im2win")
@register("im2win_without_prefetch")
@register("im2win_without_double_buffering")
@register("im2win_without_vectorized_load")
@register("im2win_without_shared_memory")
class Im2win(Tiled):
    """The tiled kernel with all optimizations, or the variant of the same name that lacks one."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        library = require_kernels(kernels)
        schedule = self.schedule(problem, device)
        return TiledPlan(problem, device, library, self.name, f"{self.name}<{schedule.tile.arguments}>", schedule)


@register("im2win_fused")
class Im2winFused(Tiled):
    """The tiled kernel that builds its window tile from X: no window tensor (cuda/im2win_fused.cu).

    Short reductions and few tiles have kernels of their own (cuda/im2win_fused_resident.cu and ..._cluster.cu).
    """

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        library = require_kernels(kernels)
        schedule = self.schedule(problem, device)
        if schedule.loader == RESIDENT_FILTER:
            return ResidentPlan(problem, device, library)
        if schedule.cluster > 1:
            return ClusterPlan(problem, device, library, schedule)
        expression = fused(schedule.loader, schedule.tile, problem.is_padded)
        return TiledPlan(problem, device, library, "im2win_fused", expression, schedule, fused=True)


@register("im2win_without_micro_kernel")
class Im2winWithoutMicroKernel(Algorithm):
    """The tiled kernel with one output per thread (cuda/im2win_without_micro_kernel.cu)."""

    def plan(self, problem: ConvProblem, device: torch.device, kernels: KernelLibrary | None, tf32: bool) -> Plan:
        schedule = Schedule(TILE_WITHOUT_MICRO_KERNEL, waves=0)
        library = require_kernels(kernels)
        return TiledPlan(problem, device, library, self.name, without_micro_kernel(), schedule)
