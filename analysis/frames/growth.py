"""Frames of the error against K, the length of the reduction, for each class of arithmetic."""

from typing import TypeVar

import numpy as np
import pandas as pd

from analysis.frames.common import Panel, Picture, classes
from analysis.numbers.algorithms import ACCURATE, STRICT, error_references, label
from analysis.numbers.layers import layer_sizes
from analysis.numbers.series import Selection, headline, layer_order, rows_of, values
from analysis.table.archive import Archive
from analysis.table.companions import read_accuracy
from analysis.table.sizes import reduction
from analysis.writing.phrases import names, number, plural

#: FP32's unit roundoff u.
ROUNDOFF = 2.0**-24
Length = TypeVar("Length", float, pd.Series)


def sequential_bound(k: Length) -> Length:
    """Bound the error of K products added sequentially in FP32, relative to the sum of their magnitudes."""
    return k * ROUNDOFF


def compensated_bound(k: Length) -> Length:
    """Bound the error of im2win on tensor cores, relative to the same sum; docs/tensor_cores.md derives it."""
    return (16 + np.ceil(k / 32)) * ROUNDOFF


#: Class -> its theoretical bound, and the formula as text.
BOUNDS = {
    STRICT: (sequential_bound, "sequential FP32, K u"),
    ACCURATE: (compensated_bound, f"{ACCURATE}, (16 + K / 32) u"),
}
BIAS_AXIS = "mean error, in u = 2^-24"
AXIS = "K = input channels x filter height x filter width"
FRAME = ("name", "numerics", "algorithm", "kind", "layer", "x", "y")
MEASURED, BOUND = "measured", "bound"
#: How many points the line of a bound has.
POINTS = 60


def error_growth(archive: Archive) -> Picture:
    """Error against K: in norm for every class and, given an accuracy.csv, of the worst output and in the mean."""
    title = f"Error against the length of the reduction on {archive.device_name}"
    selection, _ = headline(archive)
    norm, errors = _norm(archive, selection), _errors(archive, selection)
    if norm.empty:
        return Picture(title, note="no row that is ok has both an error and a layer of known size")
    where = f"{selection.suite}, batch {selection.batch}, {selection.protocol}"
    panels = [Panel(f"in norm: ||y - ref|| / ||ref||\n({where})", "relative error", norm, x_axis="K")]
    caption = f"Relative error against float64 over K, the number of products that an output adds up ({where}). "
    caption += f"In norm: {names(_spans(norm))}."
    if np.isfinite(errors["error_componentwise"]).any():
        panel, said = _worst(errors)
        panels.append(panel)
        caption += said
        panel, said = _bias(errors)
        panels.append(panel)
        caption += said
    return Picture(title, tuple(panels), caption)


def _name(numerics: str, algorithm: str) -> str:
    return f"{numerics}: {label(algorithm)}"


def _norm(archive: Archive, selection: Selection) -> pd.DataFrame:
    sizes, found = layer_sizes(archive), []
    for one in classes(archive, selection):
        rows = rows_of(archive.measurements, one)
        for algorithm in error_references(one.numerics):
            for layer, error in values(rows, algorithm, "error_fro").items():
                size = sizes.get((one.suite, str(layer)))
                if size and error > 0:
                    name = _name(one.numerics, algorithm)
                    found.append((name, one.numerics, algorithm, MEASURED, layer, reduction(size), error))
    return pd.DataFrame(found, columns=list(FRAME))


def _spans(norm: pd.DataFrame) -> list[str]:
    said = []
    for name, rows in norm.groupby("name", sort=False):
        ordered = rows.sort_values(["x", "y"], kind="stable")
        first, last = ordered.iloc[0], ordered.iloc[-1]
        said.append(f"{name} {first['y']:.1e} at K = {first['x']} and {last['y']:.1e} at K = {last['x']}")
    return said


def _errors(archive: Archive, selection: Selection) -> pd.DataFrame:
    """Take the rows of accuracy.csv that are shown: ok, and of the selection's suite."""
    errors = read_accuracy(archive.folder).astype({"error_componentwise": float, "error_mean": float})
    errors = errors[(errors["suite"] == selection.suite) & (errors["status"] == "ok")]
    chosen = [name in error_references(one) for one, name in errors[["numerics", "algorithm"]].to_numpy()]
    return errors[pd.Series(chosen, index=errors.index, dtype=bool)]


def _worst(errors: pd.DataFrame) -> tuple[Panel, str]:
    """Make the panel of each layer's worst output over all kinds of data, with its bounds, and the sentence on it."""
    finite = errors[np.isfinite(errors["error_componentwise"])]
    lengths = np.unique(np.geomspace(finite["reduction"].min(), finite["reduction"].max(), POINTS).round())
    found, said = [], []
    several = finite.groupby("numerics")["algorithm"].nunique() > 1
    for (numerics, algorithm), rows in finite.groupby(["numerics", "algorithm"], sort=False):
        worst = rows.groupby("layer").agg(k=("reduction", "first"), error=("error_componentwise", "max"))
        worst = worst.reindex(layer_order(worst.index))
        name = _name(numerics, algorithm)
        what = f"{numerics} by {label(algorithm)}" if several[numerics] else numerics
        found += [(name, numerics, algorithm, MEASURED, layer, k, error) for layer, k, error in worst.itertuples()]
        if numerics not in BOUNDS:
            said.append(f"{worst['error'].max():.1e} in {what}")
            continue
        bound, formula = BOUNDS[numerics]
        line = f"bound of {formula}"
        if line not in [one[0] for one in found]:
            found += [(line, numerics, "", BOUND, "", k, bound(k)) for k in lengths]
        part = 100 * (worst["error"] / bound(worst["k"])).max()
        said.append(f"{worst['error'].max():.1e} in {what} (at most {number(part)} % of the bound)")
    kinds = plural(finite["distribution"].nunique(), "kind of data", "kinds of data")
    title = f"worst output: |y - ref| / (|F| * |X|)\n(the largest over {kinds}, batch {finite['batch'].iloc[0]})"
    text = (
        " Beside it, the largest error of an output relative to the sum of its products' magnitudes, over "
        f"{kinds}: up to {names(said)}; u = 2^-24 is FP32's unit roundoff."
    )
    if len(finite) < len(errors):
        text += f" Left out: {plural(len(errors) - len(finite), 'result')} that overflowed."
    return Panel(title, "", pd.DataFrame(found, columns=list(FRAME)), x_axis=AXIS), text


def _bias(errors: pd.DataFrame) -> tuple[Panel, str]:
    """Make the panel of the mean error in the direction of the result, and the sentence on it.

    Of each layer the one farthest from zero over all kinds of data; an error of one sign adds up along a network.
    """
    finite = errors[np.isfinite(errors["error_mean"])]
    found, said = [], []
    for (numerics, algorithm), rows in finite.groupby(["numerics", "algorithm"], sort=False):
        if numerics not in BOUNDS:
            continue
        farthest = rows.loc[rows.groupby("layer")["error_mean"].apply(lambda one: one.abs().idxmax())].set_index(
            "layer"
        )
        farthest = farthest.reindex(layer_order(farthest.index))
        units = farthest["error_mean"] / ROUNDOFF
        name = _name(numerics, algorithm)
        found += [
            (name, numerics, algorithm, MEASURED, layer, k, bias)
            for layer, k, bias in zip(farthest.index, farthest["reduction"], units, strict=True)
        ]
        said.append(f"{units.min():.2f} to {units.max():.2f} u in {name}")
    title = "bias: mean error along ref\n(the farthest from 0 of all kinds)"
    text = (
        f" On the right, the mean error in the direction of the result, which adds up along a network: {names(said)}."
    )
    return Panel(title, BIAS_AXIS, pd.DataFrame(found, columns=list(FRAME)), x_axis="K"), text
