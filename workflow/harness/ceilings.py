"""What the machine itself can do: the rates that no honest result exceeds, and the memory that every process takes.

Rates are copies, FP32 multiply-adds and, on a GPU, matrix products in TF32 and FP16. Each is the best of several short
runs, so that it is a ceiling and not an average.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kernels.tiles.ceilings import FFMA_CHAINS, FFMA_ROUNDS, FFMA_STEPS, FFMA_THREADS
from workflow.harness import memory
from workflow.harness.identity import ceilings_hash
from workflow.harness.surroundings import use_threads
from workflow.machine import provenance
from workflow.machine.devices import require_in_use

_REPEATS = 12
_MATRIX_SIZES = (4096, 8192)
_COPY_BYTES = 2**30
_CPU_MATRIX_SIZES = (1024, 2048)
_CPU_COPY_BYTES = 2**28


def document(uuid: str | None, kernels: Path | None) -> dict[str, Any]:
    """Everything that ceilings.json holds. `uuid` names the GPU; None is the CPU."""
    before = memory.used_bytes(uuid) if uuid else None
    device = torch.device("cuda", 0) if uuid else torch.device("cpu")
    if not uuid:
        use_threads(0)
    else:
        torch.cuda.init()
        require_in_use(uuid)
        torch.cuda.synchronize()
    context = memory.read(device, uuid, before)
    rates = measure(device, kernels)
    facts = provenance.gpu_facts(uuid) if uuid else {"name": provenance.cpu_name()}
    return {
        **rates,
        "cache_bytes": cache_bytes(device),
        "context_bytes": context.process_peak_bytes,
        "context_method": context.method,
        "device": facts["name"],
        "uuid": uuid,
        "sm_clock_mhz": provenance.gpu_state(uuid)["sm_clock_mhz"] if uuid else None,
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "source_hash": ceilings_hash(),
    }


def measure(device: torch.device, kernels: Path | None, only: str | None = None) -> dict[str, float]:
    """The ceilings of `device` (FLOP/s and bytes/s), or `only` one of them by name.

    `kernels` is the folder of compiled programs; without it they are compiled.
    """
    ways = _gpu_ways(device, kernels) if device.type == "cuda" else _cpu_ways()
    return {name: way() for name, way in ways.items() if only in (None, name)}


def _gpu_ways(device: torch.device, kernels: Path | None) -> dict[str, Callable[[], float]]:
    return {
        "copy_bytes_per_s": lambda: _copies(device, _COPY_BYTES),
        "fp32_flops": lambda: _multiply_adds(device, kernels),
        "tf32_flops": lambda: max(_products(device, size, torch.float32, True) for size in _MATRIX_SIZES),
        "fp16_flops": lambda: max(_products(device, size, torch.float16, False) for size in _MATRIX_SIZES),
    }


def _cpu_ways() -> dict[str, Callable[[], float]]:
    cpu = torch.device("cpu")
    return {
        "copy_bytes_per_s": lambda: _copies(cpu, _CPU_COPY_BYTES),
        # Matrix products and convolutions come from two libraries, of which one may know wider instructions.
        "fp32_flops": lambda: max(
            _cpu_convolutions(), *(_products(cpu, size, torch.float32, False) for size in _CPU_MATRIX_SIZES)
        ),
    }


def _best_seconds(device: torch.device, work: Callable[[], object]) -> float:
    """The shortest of several runs, after one to warm up."""
    shortest = math.inf
    work()
    if device.type != "cuda":
        for _ in range(_REPEATS):
            began = time.perf_counter()
            work()
            shortest = min(shortest, time.perf_counter() - began)
        return shortest
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for _ in range(_REPEATS):
        start.record()
        work()
        end.record()
        end.synchronize()
        shortest = min(shortest, start.elapsed_time(end) / 1e3)
    return shortest


def _copies(device: torch.device, size: int) -> float:
    """Bytes read and written each second by a copy of `size` bytes."""
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / _best_seconds(device, lambda: target.copy_(source))


def _multiply_adds(device: torch.device, kernels: Path | None) -> float:
    from kernels.launch import KernelLibrary  # costs time that a measurement on the CPU need not pay

    library = KernelLibrary(device, kernels)
    kernel = library.kernel("ceilings", "ffma_rate")
    properties = torch.cuda.get_device_properties(device)
    blocks = properties.multi_processor_count * (properties.max_threads_per_multi_processor // FFMA_THREADS)
    never = torch.empty(1, device=device)
    seconds = _best_seconds(device, lambda: library.launch(kernel, (blocks,), FFMA_THREADS, never, FFMA_ROUNDS))
    return 2 * blocks * FFMA_THREADS * FFMA_ROUNDS * FFMA_CHAINS * FFMA_STEPS / seconds


def _products(device: torch.device, size: int, dtype: torch.dtype, tf32: bool) -> float:
    """FLOPs each second of a square matrix product on random numbers; zeros would take less power and so run faster."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty(size, size, device=device, dtype=dtype)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        return 2 * size**3 / _best_seconds(device, lambda: torch.mm(a, b, out=out))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _cpu_convolutions() -> float:
    """FLOPs each second of a convolution with a 5 x 5 filter, computed directly: oneDNN has Winograd for 3 x 3."""
    batch, channels, size, kernel = 4, 256, 16, 5
    x, f = (
        torch.randn(batch, channels, size + kernel - 1, size + kernel - 1),
        torch.randn(channels, channels, kernel, kernel),
    )
    flops = 2 * batch * channels**2 * size**2 * kernel**2
    return flops / _best_seconds(torch.device("cpu"), lambda: torch.nn.functional.conv2d(x, f))


def cache_bytes(device: torch.device) -> int:
    """The last cache before memory: a GPU's L2; of a CPU, the last level of all its parts."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    parts: dict[tuple[int, str], int] = {}
    for folder in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]*"):
        try:
            level, shared = int((folder / "level").read_text()), (folder / "shared_cpu_list").read_text()
            size = (folder / "size").read_text().strip()
            parts[level, shared] = int(size.removesuffix("K")) * 1024
        except (OSError, ValueError):
            continue
    last = max((level for level, _ in parts), default=0)
    return sum(size for (level, _), size in parts.items() if level == last)
