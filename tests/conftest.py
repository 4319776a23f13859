"""Settings for every test: one thread per parallel worker, and tests/gpu only where there is a GPU."""

import os
import signal
from pathlib import Path

import pytest

# Before anything imports numpy or torch: workers that each start a thread per core would only get in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

# A shell starts what is to run in the background with Ctrl-C ignored, and so would be what the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

GPU_TESTS = Path(__file__).parent / "gpu"
SLURM_TESTS = Path(__file__).parent / "slurm"


def why_no_gpu() -> str:
    """Say why GPU tests cannot run here; an empty string where they can. Creates no CUDA context."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        return f"no GPU tests: {error}"
    try:
        status, count = runtime.cudaGetDeviceCount()
    except RuntimeError as error:
        return f"no GPU tests: {error}"
    if status != runtime.cudaError_t.cudaSuccess:
        return f"no usable NVIDIA GPU: {status.name}"
    return "" if count else "no NVIDIA GPU"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests; mark those of tests/gpu, skip them where there is no GPU, and keep them in one worker."""
    for item in items:
        if GPU_TESTS in item.path.parents:
            item.add_marker(pytest.mark.gpu)
    # Those that mostly wait come first, while others compute.
    items.sort(key=lambda item: SLURM_TESTS not in item.path.parents)
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    reason = why_no_gpu() if gpu_items else ""
    for item in gpu_items:
        item.add_marker(pytest.mark.xdist_group("gpu"))
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
