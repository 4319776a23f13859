"""The files and columns of a results table, and what a cell and a row of it may hold. Imports no pandas."""

import math
from collections.abc import Iterable, Mapping

MEASUREMENTS = "measurements.csv"
SAMPLES = "samples.csv.gz"
PROVENANCE = "provenance.json"
#: Only an archive has it.
MANIFEST = "manifest.json"
#: The files of one results table.
TABLE_FILES = (MEASUREMENTS, SAMPLES, PROVENANCE)

#: The stop reason of samples beside which other programs kept the CPU busy; the harness gives the other reasons.
OTHER_LOAD = "other_load"

STATUSES = ("ok", "unsupported", "out_of_memory", "incorrect", "failed")

# Column -> kind of its cells. The order is the file's.
KINDS = {
    "experiment": "text",
    "suite": "text",
    "protocol": "text",
    "numerics": "text",
    "batch": "integer",
    "layer": "text",
    "algorithm": "text",
    "status": "text",
    "reason": "text",
    "time_ms": "number",
    "time_ms_low": "number",
    "time_ms_high": "number",
    "samples": "integer",
    "stop_reason": "text",
    "tflops": "number",
    "tensor_bytes": "integer",
    "workspace_bytes": "integer",
    "allocator_peak_bytes": "integer",
    "process_peak_bytes": "integer",
    "error_fro": "number",
    "error_max": "number",
    "sm_clock_mhz": "number",
    "source_hash": "text",
}
COLUMNS = tuple(KINDS)
KEY = ("experiment", "suite", "protocol", "numerics", "batch", "layer", "algorithm")
POINT_KEY = tuple(column for column in KEY if column != "protocol")

SAMPLE_KINDS = {**{column: KINDS[column] for column in KEY}, "sample": "integer", "time_ms": "number"}
SAMPLE_COLUMNS = tuple(SAMPLE_KINDS)

Cell = str | int | float | None


def parse(text: str, column: str, kind: str) -> Cell:
    """Turn one cell's text into its value; an empty number is None. Raises ValueError that says what was found."""
    if kind == "text":
        return text
    if text == "":
        return None
    try:
        return int(text) if kind == "integer" else float(text)
    except ValueError:
        wanted = "a whole number" if kind == "integer" else "a number"
        raise ValueError(f"column {column}: {text!r} is not {wanted}") from None


def text_of(value: object, column: str, kind: str) -> str:
    """Turn a value into its cell's text, the shortest that reads back the same. Raises ValueError for a wrong type."""
    if value is None or value == "":
        return ""
    if kind == "text":
        return " ".join(str(value).split())  # one line per row, whatever a library's message holds
    if isinstance(value, bool | str):
        raise ValueError(f"column {column}: {value!r} is not a number")
    number = float(value)  # type: ignore[arg-type]
    if kind == "number":
        return repr(number)
    if not number.is_integer():
        raise ValueError(f"column {column}: {value!r} is not a whole number")
    return str(int(number))


def problem_of(row: Mapping[str, Cell]) -> str | None:
    """Say what is wrong with one parsed row, or None.

    An `ok` row has a finite, positive time and TFLOPS; any other has neither. Only the errors of a row that is not ok
    may be NaN or infinite: that is how a kernel that wrote nonsense looks.
    """
    for column in KEY:
        if row[column] in ("", None):
            return f"column {column}: empty, but it is part of the row's key"
    if row["status"] not in STATUSES:
        return f"column status: {row['status']!r} is not one of {', '.join(STATUSES)}"
    ok = row["status"] == "ok"
    for column in ("time_ms", "tflops"):
        value = row[column]
        if ok and value is None:
            return f"column {column}: empty in a row with status ok"
        if not ok and value is not None:
            return f"column {column}: {value!r} in a row with status {row['status']}, where it must be empty"
    for column, kind in KINDS.items():
        value = row[column]
        if kind == "text" or not isinstance(value, int | float):
            continue
        if not math.isfinite(value):
            if not ok and column in ("error_fro", "error_max"):
                continue
            return f"column {column}: {value!r} is not finite"
        if value < 0 or (value == 0 and (column in ("tflops", "batch") or column.startswith("time_ms"))):
            return f"column {column}: {value!r} is not positive"
    low, high = row["time_ms_low"], row["time_ms_high"]
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        return f"column time_ms_low: {low!r} is above time_ms_high, {high!r}"
    return None


def wrong_columns(found: Iterable[str], wanted: Iterable[str]) -> str | None:
    """Say how a header differs from the wanted columns, or None where it is the same."""
    found, wanted = list(found), list(wanted)
    if found == wanted:
        return None
    said = ["it begins with a byte order mark (BOM)"] if found and found[0].startswith("\ufeff") else []
    for name, mark in (("semicolons", ";"), ("tabs", "\t")):
        said += [f"{name} stand between its columns instead of commas"] if found and mark in found[0] else []
    if said:
        return f"{', and '.join(said)}, as where a spreadsheet has saved it"
    missing = [column for column in wanted if column not in found]
    unknown = [column for column in found if column not in wanted]
    said = [f"missing columns: {', '.join(missing)}"] if missing else []
    said += [f"unknown columns: {', '.join(unknown)}"] if unknown else []
    return "; ".join(said) or f"columns in the wrong order or twice; they must be: {', '.join(wanted)}"
