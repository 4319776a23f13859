"""The report's sections on the method, the machine and the provenance."""

import hashlib
from typing import Any

import pandas as pd

from analysis.numbers.algorithms import in_order, label
from analysis.numbers.staleness import Staleness
from analysis.table.archive import Archive
from analysis.table.companions import COMPANIONS
from analysis.table.provenance import flatten
from analysis.table.schema import TABLE_FILES
from analysis.writing.phrases import markdown_table, names, number, plural


def method(archive: Archive) -> str:
    """Describe how the rows were measured: limits on errors, sampling, ceilings, and the protocols as configured."""
    configs = [point.get("config") or {} for point in archive.provenance["points"]]
    said = [
        "The FLOPs are those of the direct convolution, 2 N Cout Ho Wo C Hf Wf, for every algorithm; so a method that "
        "multiplies less can be above the machine's peak.",
        "A point (one algorithm, layer, batch and numeric class) is measured by a process of its own, under all "
        "protocols; its result is checked against float64 before and after timing.",
        *_limits(configs),
        *_sampling(archive.measurements),
        *_discarded(archive),
        *_ceilings(archive),
    ]
    return "".join(f"* {sentence}\n" for sentence in said) + _protocols(configs)


def _limits(configs: list[dict[str, Any]]) -> list[str]:
    found: dict[str, str] = {}
    for config in configs:
        numerics = config.get("numerics")
        if isinstance(numerics, dict) and "max_error_fro" in numerics:
            limits = f"{numerics['max_error_fro']:g} in norm and {numerics['max_error_max']:g} at the worst element"
            found.setdefault(str(numerics["name"]), limits)
    return [f"A result in {name} is correct up to a relative error of {limits}." for name, limits in found.items()]


def _sampling(measurements: pd.DataFrame) -> list[str]:
    ok = measurements[(measurements["status"] == "ok") & measurements["samples"].notna()]
    said = []
    for protocol, group in ok.groupby("protocol", sort=False):
        reasons = group["stop_reason"].replace("", "unknown").value_counts(sort=False).sort_index()
        parts = names(f"{str(reason).replace('_', ' ')} for {count}" for reason, count in reasons.items())
        width = 50 * ((group["time_ms_high"] - group["time_ms_low"]) / group["time_ms"]).median()
        said.append(
            f"`{protocol}`: {group['samples'].min():.0f} to {group['samples'].max():.0f} samples a row; sampling "
            f"ended: {parts} of {plural(len(group), 'row')}; median half-width of the 95 % interval {number(width)} %."
        )
    return said


def _discarded(archive: Archive) -> list[str]:
    """Count the samples that were discarded because the device was slowed down; empty if that was not recorded."""
    states = [
        state
        for point in archive.provenance["points"]
        for state in ((point.get("run") or {}).get("protocols") or {}).values()
        if isinstance(state, dict) and "discarded" in state
    ]
    if not states:
        return []
    count = sum(len(state["discarded"]) for state in states)
    capped = sum(bool((state.get("lowered_for") or {}).get("power cap")) for state in states)
    said = f"{plural(count, 'sample was', 'samples were')} discarded because the device was slowed down"
    return [f"{said}; {capped} of {plural(len(states), 'series', 'series')} of samples ran into the power limit."]


def _ceilings(archive: Archive) -> list[str]:
    measured, points = archive.provenance.get("ceilings") or {}, archive.provenance["points"]
    units = {"copy_bytes_per_s": ("copies", "TB/s"), "fp32_flops": ("FP32 multiply-adds", "TFLOPS")}
    units |= {"tf32_flops": ("TF32 matrix products", "TFLOPS"), "fp16_flops": ("FP16 matrix products", "TFLOPS")}
    parts = [
        f"{what} {number(measured[name] / 1e12)} {unit}" for name, (what, unit) in units.items() if measured.get(name)
    ]
    if not parts:
        return []
    # Ceilings that were measured again, for another GPU or by a changed program, may be newer than the first points.
    older = any((point.get("run") or {}).get("started", "~") < measured.get("measured", "") for point in points)
    when = "Measured" if older else "Measured before any point"
    return [f"{when}: {names(parts)}. A time below the lower bound that follows from these is rejected."]


def _protocols(configs: list[dict[str, Any]]) -> str:
    found: dict[str, dict[str, Any]] = {}
    for config in configs:
        for protocol in config.get("protocols", []):
            found.setdefault(str(protocol.get("name")), protocol)
    if not found:
        return ""
    columns = [column for column in next(iter(found.values())) if column != "name"]
    lines = [[name, *(protocol.get(column, "-") for column in columns)] for name, protocol in found.items()]
    header = ["protocol", *(column.replace("_", " ") for column in columns)]
    return f"\n{markdown_table(header, lines, texts=range(len(header)))}"


def machine(archive: Archive) -> str:
    """Describe every environment of the table; of all but the first, what differs from the first."""
    parts: list[str] = []
    first: dict[str, str] = {}
    for index, environment in enumerate(archive.provenance["environments"]):
        flat = flatten(environment)
        count = sum(point["environment"] == index for point in archive.provenance["points"])
        differing = {key: value for key, value in flat.items() if first.get(key) != value}
        difference = "; what differs from the first" if index else ""
        timed = sum(one["environment"] == index for one in archive.provenance.get("models", ()))
        also = f" and {plural(timed, 'row')} of whole networks" if timed else ""
        heading = f"Environment {index + 1}, {plural(count, 'point')}{also}{difference}"
        parts.append(f"{heading}:\n\n{markdown_table(['what', 'value'], differing.items(), texts=(0, 1))}")
        first = first or flat
    return "\n".join(parts) or "The provenance holds no environment.\n"


def provenance(archive: Archive, staleness: Staleness) -> str:
    """List the files behind the report, and the hashes of the sources that were measured."""
    files = []
    for name in (*TABLE_FILES, *COMPANIONS):
        if not (archive.folder / name).is_file():
            continue
        content = (archive.folder / name).read_bytes()
        files.append([name, len(content), hashlib.sha256(content).hexdigest()])
    lines = []
    measured = archive.measurements
    for algorithm in in_order(measured["algorithm"]):
        hashes = sorted(set(measured.loc[measured["algorithm"] == algorithm, "source_hash"]) - {""})
        state = "older than today's sources" if algorithm in staleness.older_kernels else "as today"
        state = "not among today's sources" if algorithm in staleness.unknown else state
        lines.append([label(algorithm), algorithm, " ".join(f"`{one}`" for one in hashes) or "-", state])
    return (
        f"Everything above is computed from these files, by the programs in `analysis/`:\n\n"
        f"{markdown_table(['file', 'bytes', 'SHA-256'], files, texts=(0, 2))}\n"
        "The kernels that were measured, by the hash of their sources without formatting and comments:\n\n"
        f"{markdown_table(['algorithm', 'name in the table', 'source hash', 'state'], lines, texts=range(4))}"
    )
