"""The cheats of tests/workflow/harness/test_cheats.py on a GPU, where a stream is a stream; and its ceilings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.shared import known_conf
from tests.workflow.harness.rogues import RoguePlan
from tests.workflow.harness.test_cheats import CHEATS, PROTOCOLS
from tests.workflow.harness.test_measure import rogue_point
from workflow import ceilings
from workflow.harness import worker
from workflow.harness.monitor import monitor
from workflow.machine.devices import find_gpus

#: There it depends on who wins a race which of these notices.
LATE = ("stream order: ", "unwritten: ", "late work: ", "accuracy: ")
#: What looks at its output on the host has to wait for it, and is noticed by that.
ON_GPU = {"another_stream": LATE, "forked_stream": LATE, "only_if_poisoned": ("stream order: ",)}


def outcome(how: str, *protocols: str) -> dict[str, Any]:
    point = rogue_point(how)
    conf = known_conf()
    # Larger than the layer of the CPU tests: the work must take longer than looking at it.
    point |= {"layer": conf.get("layer", "conv12"), "batch": 8, "device": conf.get("device", "cuda")}
    sampling = {"warmup_seconds": 0.0, "max_seconds": 0.05}
    point["protocols"] = [conf.get("protocol", "end_to_end") | PROTOCOLS[name] | sampling for name in protocols]
    point["protocols"] = [entry | {"name": name} for entry, name in zip(point["protocols"], protocols, strict=True)]
    (gpu, *_) = find_gpus()
    return worker.measure(point, None, gpu.uuid)


@pytest.mark.parametrize("how", [*(how for cheats in CHEATS.values() for how in cheats), "forked_stream"])
def test_caught(how: str) -> None:
    document = outcome(how, *PROTOCOLS)
    assert document["status"] == "incorrect"
    checks = {how: check for cheats in CHEATS.values() for how, check in cheats.items()}
    expected = ON_GPU.get(how) or (f"{checks[how]}: ",)
    assert document["reason"].startswith(expected), document["reason"]


def test_an_honest_kernel_passes() -> None:
    document = outcome("honest", *PROTOCOLS)
    assert document["status"] == "ok", document["reason"]
    conditions = document["run"]["protocols"]["end_to_end"]
    assert conditions["sm_clock_low_mhz"] > 0.5 * conditions["usual_clock_mhz"]


def test_work_that_only_begins_on_another_stream_in_time_is_seen() -> None:
    """A stream that waits for nothing is noticed while the timed one is held up, whoever wins the race afterwards."""
    assert callable(RoguePlan.another_stream)
    reasons = {outcome("another_stream", "end_to_end")["reason"].split(":")[0] for _ in range(3)}
    assert reasons <= {check.rstrip(": ") for check in LATE}


def test_ceilings(tmp_path: Path) -> None:
    (gpu, *_) = find_gpus()
    found = ceilings.document(gpu.uuid, None)
    print(found)
    assert found["context_bytes"] > 2**26
    assert found["cache_bytes"] >= 2**20
    assert found["fp32_flops"] > 1e12
    assert found["tf32_flops"] > found["fp32_flops"]
    assert found["fp16_flops"] > 1.2 * found["tf32_flops"]
    assert found["copy_bytes_per_s"] > 1e11
    # A multiply-add on every FP32 unit in every cycle of the highest clock is what no measurement can exceed.
    with monitor(gpu.uuid) as watch:
        assert watch.usual_mhz and watch.read().sm_clock_mhz
