"""Loads compiled CUDA programs and launches their kernels on PyTorch's current stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cuda.bindings import driver
from cuda.core import Device, LaunchConfig, ObjectCode, launch

from .build.architectures import architecture_name
from .build.compile import compile_program
from .packed import Launch, Start, address, pack
from .plan import UnsupportedError
from .problem import FLOAT_BYTES, ConvProblem
from .tiles.division import division_numbers

#: Threads of a block, for kernels that take any number.
THREADS = 256


class CubinError(Exception):
    """A compiled program is missing or damaged; the message names the file and the way out."""


def _unusable(folder: Path | None, program: str, error: Exception | str) -> CubinError:
    """The error for a program that cannot be loaded; its files are removed, so that the next run compiles it again."""
    if folder is None:
        return CubinError(f"the driver does not load {program} as it was just compiled: {error}")
    for suffix in (".cubin", ".json"):
        (folder / f"{program}{suffix}").unlink(missing_ok=True)
    return CubinError(
        f"{folder / program}.cubin or its report cannot be used ({error}): damaged, or made for another GPU; "
        "both were removed, and the next run compiles them again"
    )


class KernelLibrary:
    """The CUDA programs for one device: from a folder of cubins and reports, or compiled on first use."""

    def __init__(self, device: torch.device, folder: Path | None = None) -> None:
        """`folder` holds `<program>.cubin` and `<program>.json` as the workflow's compile rule writes them."""
        self._folder = folder
        self._architecture = architecture_name(*torch.cuda.get_device_capability(device))
        # cuda.core works in the context that PyTorch has made current.
        torch.cuda.init()
        self._device = Device(device.index or 0)
        self._device.set_current()
        self._overlaps = has_clusters(device)
        self._programs: dict[str, tuple[ObjectCode, dict[str, str]]] = {}
        self._allowed: dict[int, int] = {}

    def kernel(self, program: str, expression: str) -> Any:
        """The kernel that `expression` (as in kernels.build.programs.PROGRAMS) names in `program`.

        Raises CubinError if the cubin or its report is missing or cannot be loaded.
        """
        if program not in self._programs:
            self._programs[program] = self._load(program)
        code, symbols = self._programs[program]
        return code.get_kernel(symbols[expression])

    def load(self, kernels: Sequence[tuple[str, str]]) -> None:
        """Make kernels (programs and expressions) ready that will be asked for; here whole programs are loaded."""

    def _load(self, program: str) -> tuple[ObjectCode, dict[str, str]]:
        """The loaded program, and its kernels' symbols by name expression."""
        if self._folder is None:
            cubin, report = compile_program(program, self._architecture)
        else:
            path = self._folder / f"{program}.cubin"
            try:
                cubin = path.read_bytes()
                report = json.loads(path.with_suffix(".json").read_text())
            except (OSError, ValueError) as error:
                raise _unusable(self._folder, program, error) from error
            if report.get("sha256", known := sha256(cubin).hexdigest()) != known:
                raise _unusable(self._folder, program, "it is not the file that was compiled")
        symbols = {kernel["expression"]: kernel["symbol"] for kernel in report["kernels"]}
        code = ObjectCode.from_cubin(cubin, name=program)
        try:
            code.get_kernel(next(iter(symbols.values())))
        except Exception as error:
            raise _unusable(self._folder, program, error) from error
        return code, symbols

    def resident_blocks(self, kernel: Any, threads: int, shared_bytes: int = 0) -> int:
        """How many blocks of so many threads and bytes of dynamic shared memory are resident on the device at once."""
        per_multiprocessor = kernel.occupancy.max_active_blocks_per_multiprocessor(threads, shared_bytes)
        return int(per_multiprocessor * self.multiprocessors)

    @property
    def multiprocessors(self) -> int:
        """How many multiprocessors the device has."""
        return int(self._device.properties.multiprocessor_count)

    def fills_device(self, kernel: Any, blocks: int, threads: int, shared_bytes: int = 0) -> bool:
        """Whether `blocks` blocks, spread evenly, occupy some multiprocessor fully.

        A smaller grid that starts while the kernel before it still runs may crowd onto the multiprocessors that are
        free, instead of being spread over all of them.
        """
        return blocks + self.multiprocessors > self.resident_blocks(kernel, threads, shared_bytes)

    @property
    def most_shared_bytes(self) -> int:
        """How much dynamic shared memory a block of this device can have."""
        return int(self._device.properties.max_shared_memory_per_block_optin)

    def allow_shared(self, kernel: Any, shared_bytes: int) -> None:
        """Let `kernel` be launched with that much dynamic shared memory.

        Raises UnsupportedError if a block of this device cannot have as much.
        """
        most = self.most_shared_bytes
        if shared_bytes > most:
            raise UnsupportedError(f"the kernel needs {shared_bytes} bytes of shared memory; a block has {most} here")
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        # It holds for all plans of the kernel, and another one may need more.
        if shared_bytes <= self._allowed.get(key := int(kernel.handle), 0):
            return
        device = driver.CUdevice(self._device.device_id)
        (status,) = driver.cuKernelSetAttribute(attribute, shared_bytes, kernel.handle, device)
        if status != driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(f"cuKernelSetAttribute: {status.name}")
        self._allowed[key] = shared_bytes

    def enter(self) -> None:
        """Make the device's context current in this thread; a new one has none until PyTorch has used the device."""
        self._device.set_current()

    def bind(self, launch: Launch, slots: Sequence[int | None]) -> Start:
        """What starts `launch` again and again; see `kernels.packed.pack`."""
        return pack(launch, slots, self.enter)

    def launch(
        self,
        kernel: Any,
        grid: tuple[int, ...],
        threads: int,
        *arguments: torch.Tensor | int | None,
        shared_bytes: int = 0,
        cluster: int = 1,
        overlap: bool = False,
    ) -> None:
        """Start `kernel` with `threads` threads a block. Tensors go as pointers (None: a null pointer), integers as
        32-bit ones.

        `shared_bytes` is the block's dynamic shared memory; above 48 KiB `allow_shared` must have been called.
        `cluster` blocks of a grid of one dimension run side by side, if more than one.

        `overlap` launches it as a programmatic dependent of the kernel before it on the stream, which must be one of
        ours: it may start before that one has ended, and waits for it itself (cuda/include/overlap.cuh). That pays if
        the kernel's blocks fill the device (`fills_device`). Below compute capability 9.0 it has no effect. See the
        CUDA programming guide, section "Programmatic Dependent Launch and Synchronization".
        """
        packed = [np.int32(value) if isinstance(value, int) else np.uint64(address(value)) for value in arguments]
        stream = _stream(self._device.device_id, torch.cuda.current_stream().cuda_stream)
        # cuda.core counts the grid in clusters, where there are any.
        blocks: dict[str, Any] = {"grid": grid} if cluster == 1 else {"grid": grid[0] // cluster, "cluster": cluster}
        config = LaunchConfig(
            **blocks,
            block=(threads,),
            shmem_size=shared_bytes,
            programmatic_stream_serialization=overlap and self._overlaps,
        )
        launch(stream, config, kernel, *packed)


def has_clusters(device: torch.device) -> bool:
    """Whether blocks can run in clusters, and kernels can overlap: from compute capability 9.0 on."""
    return bool(torch.cuda.get_device_properties(device).major >= 9)


@cache
def _stream(device: int, handle: int) -> Any:
    """cuda.core's view of a PyTorch stream; made once per stream, since it costs microseconds."""

    class _Handle:
        def __cuda_stream__(self) -> tuple[int, int]:
            return (0, handle)

    return Device(device).create_stream(_Handle())


def problem_arguments(problem: ConvProblem, windows: bool = True) -> tuple[int, ...]:
    """The arguments of PROBLEM_PARAMETERS (cuda/include/convolution.cuh): sizes, and multipliers that divide by counts.

    Raises UnsupportedError if a count that the kernels keep in 32 bits does not fit: pixels, columns of the window
    tensor, its bytes in one image, those of one image of X, or values of the filter. Without `windows` the kernel does
    not number what is in the window tensor.
    """
    m, n, k = problem.gemm_shape
    p, rows, columns = problem, problem.rows, problem.columns
    window_columns = p.batch * p.in_channels * p.out_height * columns.padded if windows else 0
    window_bytes = p.window_tensor_bytes // p.batch if windows else 0
    image_bytes = FLOAT_BYTES * p.in_channels * p.height * p.width
    if max(n, 2 * window_columns, window_bytes, image_bytes, 2 * m * k) >= 2**31:
        raise UnsupportedError("the problem has 2^31 or more of what the kernels count in 32 bits")
    return (
        *(p.batch, p.in_channels, p.height, p.width, p.out_channels, p.kernel_h, p.kernel_w, *p.stride),
        *(rows.before, columns.before, *p.dilation, p.groups, p.group_in_channels, p.group_out_channels),
        *(columns.padded, p.out_height, p.out_width),
        *division_numbers(p.out_height * p.out_width),
        *division_numbers(p.out_width),
        *division_numbers(p.out_height),
        *division_numbers(columns.padded),
    )
