"""The result of one point as a document, whatever its outcome."""

from __future__ import annotations

from typing import Any

from analysis.table.schema import COLUMNS
from kernels.build.sources import source_hash
from kernels.problem import ConvProblem

#: Columns that only a row with a time has.
_TIMED = ("time_ms", "time_ms_low", "time_ms_high", "samples", "stop_reason", "tflops", "sm_clock_mhz")


def empty_rows(point: dict[str, Any]) -> list[dict[str, Any]]:
    """One row of the results table for each protocol, with all that is known before measuring."""
    known = {
        "experiment": point["experiment"],
        "suite": point["suite"],
        "numerics": point["numerics"]["name"],
        "batch": point["batch"],
        "layer": point["layer"]["name"],
        "algorithm": point["algorithm"]["name"],
        "tensor_bytes": ConvProblem.from_layer(point["layer"], point["batch"]).tensor_bytes,
        "source_hash": source_hash(point["algorithm"]["module"], point["algorithm"]["programs"]),
    }
    return [dict.fromkeys(COLUMNS) | known | {"protocol": protocol["name"]} for protocol in point["protocols"]]


def result_document(
    point: dict[str, Any],
    status: str,
    reason: str,
    rows: list[dict[str, Any]],
    samples: dict[str, list[float]],
    environment: dict[str, Any],
    run: dict[str, Any],
) -> dict[str, Any]:
    """What `result.json` holds. A point that is not ok has no times, whichever of its protocols were taken."""
    outcome: dict[str, Any] = {"status": status, "reason": reason}
    if status != "ok":
        outcome |= dict.fromkeys(_TIMED)
    return {
        "point": point,
        "status": status,
        "reason": reason,
        "attempt": 1,
        "rows": [row | outcome for row in rows],
        "samples": samples if status == "ok" else {},
        "environment": environment,
        "run": run,
    }
