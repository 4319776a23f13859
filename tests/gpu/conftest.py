"""The compiled CUDA programs, for all tests on a GPU."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from kernels.build.architectures import architecture_name
from kernels.build.compile import compile_program
from kernels.build.programs import PROGRAMS
from kernels.launch import KernelLibrary


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them in one test process: some look at times, and must have the GPU to themselves."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("gpu"))


@pytest.fixture(scope="session")
def cubins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all programs compiled for this GPU: the one that CUBINS names, or a new one."""
    if "CUBINS" in os.environ:
        return Path(os.environ["CUBINS"])
    folder = tmp_path_factory.mktemp("cubins")
    architecture = architecture_name(*torch.cuda.get_device_capability())
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        compiled = pool.map(compile_program, PROGRAMS, [architecture] * len(PROGRAMS))
        for program, (cubin, report) in zip(PROGRAMS, compiled, strict=True):
            (folder / f"{program}.cubin").write_bytes(cubin)
            (folder / f"{program}.json").write_text(json.dumps(report))
    return folder


@pytest.fixture(scope="session")
def library(cubins: Path) -> KernelLibrary:
    return KernelLibrary(torch.device("cuda", 0), cubins)
