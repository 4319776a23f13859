"""The cores of a host dealt to its GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow.machine import cores
from workflow.machine.devices import Gpu


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    cores.deal.cache_clear()
    yield
    cores.deal.cache_clear()


def host(monkeypatch: pytest.MonkeyPatch, folder: Path, mine: set[int], siblings: dict[int, str]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: mine)
    monkeypatch.setattr(cores, "_CPUS", folder)
    for core, listed in siblings.items():
        topology = folder / f"cpu{core}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{listed}\n")


@pytest.mark.parametrize(
    "lists", [["0,4", "1,5", "2,6", "3,7"] * 2, ["0-1", "0-1", "2-3", "2-3", "4-5", "4-5", "6-7", "6-7"]]
)
def test_threads_of_a_core_stay_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lists: list[str]) -> None:
    host(monkeypatch, tmp_path, set(range(8)), dict(enumerate(lists)))
    shares = cores.deal(3)
    assert [len(share) for share in shares] == [2, 2, 4]
    assert frozenset.union(*shares) == set(range(8))
    together = {0, 4} if "," in lists[0] else {0, 1}
    assert shares[0] == together


def test_only_cores_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host(monkeypatch, tmp_path, {2, 3, 9}, {2: "2-3", 3: "2-3", 9: "8-9"})
    assert [set(share) for share in cores.deal(2)] == [{2, 3}, {9}]


def test_too_few_cores_are_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host(monkeypatch, tmp_path, {0, 1}, {})
    assert [set(share) for share in cores.deal(3)] == [{0, 1}] * 3


def test_each_gpu_has_cores_and_so_has_what_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host(monkeypatch, tmp_path, set(range(6)), {})
    gpus = [Gpu(index, uuid, "Test GPU", "sm_90a") for index, uuid in ((0, "GPU-a"), (2, "GPU-b"))]
    monkeypatch.setattr(cores, "installed_gpus", lambda: gpus)
    kept: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, share: kept.append(set(share)))
    for uuid in (None, "GPU-b", "GPU-a"):
        cores.keep_to(uuid)
    assert kept == [{4, 5}, {2, 3}, {0, 1}]


def test_without_a_gpu_a_process_keeps_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "installed_gpus", list)
    before = os.sched_getaffinity(0)
    cores.keep_to(None)
    assert os.sched_getaffinity(0) == before
