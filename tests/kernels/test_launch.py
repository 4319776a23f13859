"""Compiled programs that are damaged or missing, and launches, with a driver that only pretends."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kernels import launch
from kernels.launch import CubinError, KernelLibrary
from workflow import compile as compiling

CUBIN = b"machine code"


class Driver:
    """Takes CUBIN and nothing else, when a kernel is asked for."""

    def __init__(self, cubin: bytes) -> None:
        self.cubin = cubin

    @classmethod
    def from_cubin(cls, cubin: bytes, name: str) -> Driver:
        return cls(cubin)

    def get_kernel(self, symbol: str) -> str:
        if self.cubin != CUBIN:
            raise RuntimeError("CUDA_ERROR_INVALID_IMAGE")
        return symbol


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelLibrary:
    """A library of one program in a folder of its own."""
    monkeypatch.setattr(launch, "ObjectCode", Driver)
    (tmp_path / "direct.cubin").write_bytes(CUBIN)
    report = {"kernels": [{"expression": "direct", "symbol": "_Z6direct"}], "sha256": sha256(CUBIN).hexdigest()}
    (tmp_path / "direct.json").write_text(json.dumps(report))
    library = KernelLibrary.__new__(KernelLibrary)
    library._folder, library._programs = tmp_path, {}
    return library


def test_whole(library: KernelLibrary) -> None:
    assert library.kernel("direct", "direct") == "_Z6direct"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("direct.cubin", None, "No such file"),
        ("direct.cubin", CUBIN[:5], "not the file that was compiled"),
        ("direct.cubin", CUBIN.replace(b"m", b"n"), "not the file that was compiled"),
        ("direct.json", None, "No such file"),
        ("direct.json", b"{", "Expecting"),
    ],
)
def test_damaged(library: KernelLibrary, tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CubinError) as caught:
        library.kernel("direct", "direct")
    for text in (str(tmp_path / "direct.cubin"), said, "the next run compiles them again"):
        assert text in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_made_for_another_gpu(library: KernelLibrary, tmp_path: Path) -> None:
    other = b"for another GPU"
    report = json.loads((tmp_path / "direct.json").read_text()) | {"sha256": sha256(other).hexdigest()}
    (tmp_path / "direct.cubin").write_bytes(other)
    (tmp_path / "direct.json").write_text(json.dumps(report))
    with pytest.raises(CubinError, match="CUDA_ERROR_INVALID_IMAGE"):
        library.kernel("direct", "direct")


def test_what_is_compiled_has_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_program(program: str, architecture: str) -> tuple[bytes, dict[str, Any]]:
        kernel = {"registers": 32, "spill_store_bytes": 0, "spill_load_bytes": 0}
        return CUBIN, {
            **{"program": program, "architecture": architecture, "kernels": [kernel]},
            **{"nvrtc": "13.0", "seconds": 0.1},
        }

    monkeypatch.setattr(compiling, "compile_program", compile_program)
    files = ["--cubin", str(tmp_path / "f.cubin"), "--report", str(tmp_path / "f.json")]
    assert compiling.main(["--program", "direct", "--architecture", "sm_90a", *files]) == 0
    assert json.loads((tmp_path / "f.json").read_text())["sha256"] == sha256(CUBIN).hexdigest()


@pytest.mark.parametrize("able", [False, True])
@pytest.mark.parametrize("overlap", [False, True])
def test_kernels_overlap_where_asked_to_and_able(
    overlap: bool, able: bool, library: KernelLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[tuple[Any, ...]] = []
    monkeypatch.setattr(launch, "launch", lambda *arguments: launched.append(arguments))
    monkeypatch.setattr(launch, "_stream", lambda device, handle: handle)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(cuda_stream=7))
    library._device, library._overlaps = SimpleNamespace(device_id=0), able
    library.launch("kernel", (5, 2), 64, torch.zeros(1), 3, shared_bytes=16, overlap=overlap)
    ((stream, config, kernel, _, number),) = launched
    assert (stream, kernel, number) == (7, "kernel", 3)
    assert (config.grid, config.block, config.shmem_size) == ((5, 2, 1), (64, 1, 1), 16)
    assert config.programmatic_stream_serialization == (overlap and able)


@pytest.mark.parametrize(("blocks", "filled"), [(264, False), (265, True), (396, True), (5000, True)])
def test_when_blocks_fill_the_device(
    blocks: int, filled: bool, library: KernelLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 132 multiprocessors that hold three blocks each, one has three from the 265th block on."""
    library._device = SimpleNamespace(properties=SimpleNamespace(multiprocessor_count=132))
    monkeypatch.setattr(library, "resident_blocks", lambda *arguments: 396)
    assert library.fills_device("kernel", blocks, 128) == filled
