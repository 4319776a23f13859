"""Reasons for the result of each claim, in sentences whose numbers and layers come from the measurements.

Sources of what does not follow from the measurements: cuDNN's documentation of its forward algorithms (FFT and Winograd
multiply less than a direct method); PyTorch's aten/src/ATen/native/cuda/ConvolutionMM2d.cu (with cuDNN off, one image's
im2col matrix at a time, which is stated only where the counted workspace agrees); kernels/cuda/direct.cu.
"""

from collections.abc import Mapping

import pandas as pd

from analysis.numbers import published
from analysis.numbers.algorithms import BEST_CUDNN, ablations, about, label, paper
from analysis.numbers.layers import im2col_bytes
from analysis.numbers.series import MIB, PROCESS_PEAK, geometric_mean, memory_metric, ratio, values
from analysis.table.sizes import Size
from analysis.writing.phrases import names, number, plural

#: cuBLAS on ready-made matrices: how much of the im2col + cuBLAS baseline is the matrix product.
CEILING = "cublas_gemm_ceiling"

Sizes = Mapping[tuple[str, str], Size]


def abstract_and_logs() -> str:
    """Compare the abstract's means with those of the authors' logs; no usual average explains the difference."""
    speed, memory = published.authors_tflops(), published.authors_memory_mib()
    claimed = published.claims().set_index("id")["value"]
    faster = _averages(speed[paper()] / speed["im2col_cublas"], speed[[paper(), "im2col_cublas"]])
    cublas, cudnn = (
        [100 * (1 - one) for one in _averages(memory[paper()] / memory[name], memory[[paper(), name]])]
        for name in published.memory_baselines()
    )
    return (
        "*Published* is the abstract's number, *authors' logs* what the artifact's logs give for the same claim, and "
        f"they differ. The logs' mean speedup over cuBLAS is {faster[0]:.2f}x, the abstract says "
        f"{claimed['speedup_cublas']}x; their mean memory reductions are {cublas[0]:.1f} % and {cudnn[0]:.1f} %, the "
        f"abstract says {claimed['memory_cublas']} % and {claimed['memory_cudnn']} %. The abstract does not say how it "
        "averages. We take the arithmetic mean of the layers' ratios here, and here alone. The ratio of their totals "
        f"({faster[1]:.2f}x, {cublas[1]:.1f} % and {cudnn[1]:.1f} %) and the geometric mean ({faster[2]:.2f}x, "
        f"{cublas[2]:.1f} % and {cudnn[2]:.1f} %) do not give the abstract's numbers either: they seem to be rounded, "
        "or from other runs."
    )


def _averages(ratios: pd.Series, both: pd.DataFrame) -> tuple[float, float, float]:
    """Average ratios over the layers: their mean, the ratio of the two columns' totals, their geometric mean."""
    totals = both.sum()
    return float(ratios.mean()), float(totals.iloc[0] / totals.iloc[1]), geometric_mean(ratios)


def explanation(claim: pd.Series, rows: pd.DataFrame, sizes: Sizes) -> str:
    """Explain one claim from the rows of one selection (with `cudnn_best`)."""
    baseline = str(claim["baseline"])
    if claim["unit"] == "rank":
        return _ablation(rows, baseline)
    if claim["metric"] == "memory_reduction":
        why = _one_image(rows, sizes) if baseline == "im2col_cublas" else _chosen_workspace(rows)
        return _joined(_counted(rows, baseline), why)
    special = {"im2col_cublas": _outside_cublas, BEST_CUDNN: _other_mathematics, "direct": _stronger_direct}.get(
        baseline
    )
    return _joined(special(rows) if special else "", _against_log(rows, baseline))


def decompositions(judged: pd.DataFrame) -> pd.Series:
    """Compare every claim on speed between the protocols, to separate kernel and transform; else empty."""
    said = pd.Series("", index=judged.index, dtype=object)
    alike = ["claim", "experiment", "suite", "batch", "numerics"]
    speed = judged[(judged["unit"] == "x") & judged["measured"].notna()]
    for _, group in speed.groupby(alike, sort=False):
        said[group.index] = _decomposition(group.set_index("protocol")["measured"].to_dict())
    return said


def _decomposition(measured: Mapping[str, float]) -> str:
    kernel = measured.get("kernel_only")
    if kernel is None:
        return ""
    parts = [f"By the kernel alone (kernel_only) it is {number(kernel)}x"]
    if "end_to_end" in measured:
        whole = measured["end_to_end"]
        counted = "with transform and filter reordering counted (end_to_end)"
        parts.append(f"{counted} {number(whole)}x, {_change(whole, kernel)}")
    if "authors" in measured:
        theirs = measured["authors"]
        parts.append(
            "and as the authors timed it (authors: the kernel alone by the wall clock, L2 warm, minimum against mean) "
            f"{number(theirs)}x, {_change(theirs, kernel)} than the kernel alone"
        )
    return ", ".join(parts) + "."


def _change(value: float, reference: float) -> str:
    change = abs(100 * (1 - value / reference))
    return f"{number(change) if change >= 0.001 else '0'} % {'less' if value <= reference else 'more'}"


def _against_log(rows: pd.DataFrame, baseline: str) -> str:
    """Compare both sides of the ratio with the authors' log."""
    log = published.authors_tflops()
    moved = {}
    for name in (paper(), baseline):
        here = values(rows, name, "tflops")
        here = here[here.index.isin(log.index)]
        moved[name] = float((here / log[name].reindex(here.index)).median())
    return (
        f"Against the authors' log, in median over the layers, {label(paper())} is {number(moved[paper()])}x as fast "
        f"here and {label(baseline)} {number(moved[baseline])}x."
    )


def _outside_cublas(rows: pd.DataFrame) -> str:
    share = 100 * ratio(rows, CEILING, "im2col_cublas", "time_ms")
    if share.empty or share.max() >= 100:
        return ""
    return (
        f"One cuBLAS product of ready-made matrices takes {number(share.min())} % ({share.idxmin()}) to "
        f"{number(share.max())} % ({share.idxmax()}) of the baseline's time; the rest of it is im2col and multiplying "
        "image by image instead of the whole batch at once."
    )


def _stronger_direct(rows: pd.DataFrame) -> str:
    log = published.authors_tflops()
    here, there = 100 * ratio(rows, "direct", paper(), "tflops"), 100 * log["direct"] / log[paper()]
    if here.empty:
        return ""
    least = f"{number(there.min())} % on {there.idxmin()}, the layer of the claim, and at most {number(there.max())} %"
    return (
        f"In the authors' log the direct convolution reaches {least} of im2win's speed; here, with one thread for each "
        "output whose neighbours read neighbouring values (kernels/cuda/direct.cu), it reaches "
        f"{number(here.min())} % ({here.idxmin()}) to {number(here.max())} % ({here.idxmax()})."
    )


def _other_mathematics(rows: pd.DataFrame) -> str:
    best = rows[(rows["algorithm"] == BEST_CUDNN) & (rows["status"] == "ok")].set_index("layer")["chosen"]
    over = ratio(rows, paper(), BEST_CUDNN, "tflops")
    fewer = [layer for layer in over.index if about(best[layer]).multiplies_less]
    others = [layer for layer in over.index if layer not in fewer]
    said = []
    if fewer:
        which = names((label(name).removeprefix("cuDNN ") for name in dict.fromkeys(best[fewer])), commas=True)
        said.append(
            f"The best cuDNN is {which} on {plural(len(fewer), 'layer')} ({' '.join(fewer)}), which takes fewer "
            f"multiplications than any direct method; there im2win is {number(geometric_mean(over[fewer]))}x as fast."
        )
    if others:
        ahead = [layer for layer in others if over[layer] > 1]
        where = f"on {len(ahead)} of them ({' '.join(ahead)})" if ahead else "on none of them"
        said.append(
            f"On the {plural(len(others), 'layer')} where the best is a GEMM or the autotuner's choice, im2win is "
            f"{number(geometric_mean(over[others]))}x as fast and is ahead {where}."
        )
    above = ratio(rows, BEST_CUDNN, CEILING, "tflops")
    beyond = list(above.index[above > 1])
    if beyond:
        said.append(
            f"On {plural(len(beyond), 'layer')} ({' '.join(beyond)}) the best cuDNN is faster even than one cuBLAS "
            "product of ready-made matrices of the same shape, the practical ceiling of an implicit GEMM like im2win."
        )
    return " ".join(said)


def _counted(rows: pd.DataFrame, baseline: str) -> str:
    """Compare the counted bytes, and give their share of the process's peak."""
    counted = 100 * (1 - ratio(rows, paper(), baseline, "counted_bytes"))
    if counted.empty:
        return ""
    said = (
        f"By tensors and workspace alone, im2win takes {number(abs(counted.mean()))} % "
        f"{'less' if counted.mean() >= 0 else 'more'} than {label(baseline)} on average"
    )
    if memory_metric(rows) == PROCESS_PEAK:
        share = 100 * (values(rows, paper(), "counted_bytes") / values(rows, paper(), PROCESS_PEAK.column)).dropna()
        said += (
            f"; they are {number(share.min())} to {number(share.max())} % of im2win's process peak, whose other part "
            "(context, loaded libraries, what the allocator keeps) no algorithm can save"
        )
    return said + "."


def _one_image(rows: pd.DataFrame, sizes: Sizes) -> str:
    theirs, ours = (values(rows, name, "workspace_bytes") / MIB for name in ("im2col_cublas", paper()))
    if theirs.empty or ours.empty:
        return ""
    compared = (
        f"The baseline's workspace is {number(theirs.min())} to {number(theirs.max())} MiB, im2win's (the window "
        f"tensor of the whole batch, and the reordered filter) {number(ours.min())} to {number(ours.max())} MiB."
    )
    suite = str(rows["suite"].iloc[0])
    images = pd.Series(
        {layer: im2col_bytes(sizes[suite, layer]) / MIB for layer in theirs.index if (suite, layer) in sizes}
    )
    if len(images) < len(theirs):
        return compared
    rest = theirs - images
    if rest.max() - rest.min() > 0.05 * theirs.max():  # then the workspace is something else than we say
        return compared
    return (
        f"PyTorch's im2col holds one image's matrix at a time: its workspace is that matrix plus {number(rest.min())} "
        f"to {number(rest.max())} MiB on every layer, and so does not grow with the batch, as the window tensor does. "
        f"{compared}"
    )


def _chosen_workspace(rows: pd.DataFrame) -> str:
    theirs, ours = (values(rows, name, "workspace_bytes") / MIB for name in (BEST_CUDNN, paper()))
    common = [layer for layer in theirs.index if layer in ours.index]
    if not common:
        return ""
    less = [layer for layer in common if ours[layer] < theirs[layer]]
    where = f" ({' '.join(less)})" if less else ""
    small = [layer for layer in common if theirs[layer] < 1]
    said = (
        f"The fastest cuDNN algorithm's workspace is {number(theirs.min())} to {number(theirs.max())} MiB; im2win's "
        f"is smaller on {len(less)} of {plural(len(common), 'layer')}{where}."
    )
    if small:
        said += (
            f" On {' '.join(small)} cuDNN's is below 1 MiB: no method that stores a window tensor can take less there."
        )
    return said


def _ablation(rows: pd.DataFrame, first: str) -> str:
    parts = []
    for name in sorted(ablations(), key=lambda one: one != first):
        loss = ratio(rows, paper(), name, "tflops")
        if not loss.empty:
            spread = f"{number(loss.min())}x ({loss.idxmin()}) to {number(loss.max())}x ({loss.idxmax()})"
            parts.append(f"{label(name)} {spread}")
    return f"The whole kernel is faster than the kernel {names(parts)}." if parts else ""


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
