"""GPUs as NVML lists them, and their order as CUDA programs see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from workflow.machine import devices
from workflow.machine.devices import (
    DeviceError,
    Gpu,
    find_gpus,
    pytorch_without_cuda,
    require_in_use,
    select_gpus,
    slug,
    why_none,
)

UUIDS = ["GPU-aa11", "GPU-bb22", "GPU-cc33"]


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetCudaComputeCapability=lambda handle: (9, 0) if handle < 2 else (8, 6),
        nvmlDeviceGetUUID=lambda handle: UUIDS[handle],
        nvmlDeviceGetName=lambda handle: b"NVIDIA H100 80GB HBM3" if handle < 2 else "NVIDIA RTX A4000",
    )

    @contextmanager
    def nvml() -> Iterator[Any]:
        yield library

    monkeypatch.setattr(devices, "nvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_what_nvml_lists(three_gpus: None) -> None:
    gpus = find_gpus()
    assert [gpu.uuid for gpu in gpus] == UUIDS
    assert gpus[0] == Gpu(0, "GPU-aa11", "NVIDIA H100 80GB HBM3", "sm_90a")
    assert gpus[2].architecture == "sm_86"


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("1", [1]),
        ("2,0", [2, 0]),
        ("GPU-bb22", [1]),
        ("GPU-cc,GPU-aa", [2, 0]),
        ("", []),
        ("7", []),
        ("-1", []),
        ("0,-1,1", [0]),
    ],
)
def test_visible_devices(three_gpus: None, monkeypatch: pytest.MonkeyPatch, visible: str, found: list[int]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.index for gpu in find_gpus()] == found


def test_a_gpu_that_fell_off_the_bus(
    three_gpus: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with devices.nvml() as library:
        uuid = library.nvmlDeviceGetUUID

        def lost(handle: int) -> str:
            if handle == 1:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
            return str(uuid(handle))

        monkeypatch.setattr(library, "nvmlDeviceGetUUID", lost)
    assert [gpu.index for gpu in find_gpus()] == [0, 2]
    assert capsys.readouterr().err == "GPU 1 does not answer and is left out: GPU is lost\n"


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert find_gpus() == []
    assert why_none() == "NVML Shared Library Not Found"


@pytest.mark.parametrize(
    ("visible", "said"),
    [
        ("", "CUDA_VISIBLE_DEVICES is '' and hides 0 (NVIDIA H100 80GB HBM3), 1 "),
        ("-1", "CUDA_VISIBLE_DEVICES is '-1' and hides "),
        ("7", "CUDA_VISIBLE_DEVICES is '7' and hides "),
        ("MIG-1234", "parts of a GPU (MIG) are not measured"),
    ],
)
def test_why_a_gpu_is_hidden(three_gpus: None, monkeypatch: pytest.MonkeyPatch, visible: str, said: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert said in why_none()


@pytest.mark.parametrize(
    ("line", "found"),
    [("cuda: Optional[str] = None", True), ("cuda = None", True), ("cuda: Optional[str] = '13.0'", False)],
)
def test_a_pytorch_without_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, found: bool) -> None:
    (tmp_path / "version.py").write_text(f"from typing import Optional\n__version__ = '2.13.0'\n{line}\nhip = None\n")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert bool(pytorch_without_cuda()) == found


def test_whether_this_pytorch_has_cuda() -> None:
    assert bool(pytorch_without_cuda()) == (torch.version.cuda is None)


def test_a_gpu_that_is_not_there(three_gpus: None) -> None:
    assert [gpu.index for gpu in select_gpus([2, 0], find_gpus())] == [2, 0]
    with pytest.raises(DeviceError, match=r"no GPU 3.*0 \(NVIDIA H100 80GB HBM3\), 1 .*, 2 \(NVIDIA RTX A4000\)"):
        select_gpus([3], find_gpus())
    with pytest.raises(DeviceError, match="none"):
        select_gpus([0], [])


def test_slug() -> None:
    assert slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"
    assert slug(" NVIDIA GeForce RTX 4090 (Laptop) ") == "nvidia-geforce-rtx-4090-laptop"


@pytest.mark.parametrize("prefix", ["", "GPU-"])
def test_a_process_is_on_the_gpu_that_it_waited_for(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    facts = SimpleNamespace(uuid=f"{prefix}aa11")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: facts)
    require_in_use("GPU-aa11")
    with pytest.raises(
        DeviceError, match="GPU-bb22 was to be used, but .* is GPU-.*aa11: something started CUDA before"
    ):
        require_in_use("GPU-bb22")
