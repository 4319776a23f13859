"""What conf/algorithm/ says about each algorithm: its label, role and look, and which algorithms belong together.

An algorithm is described in its one file there, and nothing in this package lists algorithms by name. An algorithm of
an archive that has no file is shown under its own name, in grey, after all others. The best cuDNN, which is derived and
has no file, is described here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from analysis.table.described import FOLDER, USUAL
from analysis.table.errors import ArchiveError

STRICT, ACCURATE, TF32 = "strict_fp32", "fp32_accurate", "tf32"
CUDNN = "cudnn"
BEST_CUDNN = "cudnn_best"
#: The algorithm that speeds are compared with on each kind of device.
YARDSTICKS = {"cuda": BEST_CUDNN, "cpu": "cpu_torch"}
#: What PyTorch runs as it comes, and what its autotuner chooses when it asks cuDNN's older interface.
AS_IT_COMES = {"cuda": "cudnn_autotuned", "cpu": "cpu_torch"}
OLDER_INTERFACE = "cudnn_autotuned_legacy"

PAPER, OURS, BASELINE, ABLATION, BASE, CEILING = "paper", "ours", "baseline", "ablation", "base", "ceiling"
ROLES = (PAPER, OURS, BASELINE, ABLATION, BASE, CEILING)
STATISTICS = ("minimum", "mean")
#: The order of an algorithm without a file.
LAST = 10**9
CORRECT = "correct it (git checkout restores it)"


@dataclass(frozen=True)
class Algorithm:
    """One algorithm; the fields have the names and defaults of its file in conf/algorithm/."""

    name: str
    backend: str = ""
    numerics: tuple[str, ...] = ()
    arithmetic: str = ""
    label: str = ""
    role: str = OURS
    order: int = 1000
    color: str = "0.5"
    marker: str = "o"
    authors_statistic: str = USUAL
    best_of: str = ""
    autotuned: bool = False
    in_paper: bool = False
    error_reference: bool = False
    transform_outside_kernel: bool = False

    @property
    def is_candidate(self) -> bool:
        """Whether a user might choose it: a convolution (no ceiling), not derived from others, and not an ablation."""
        return self.name != BEST_CUDNN and self.role not in (CEILING, BASE, ABLATION)

    @property
    def is_accurate_only(self) -> bool:
        """Whether it is one of ours that runs on tensor cores with FP32 accuracy and has no strict FP32."""
        return self.role == OURS and ACCURATE in self.numerics and STRICT not in self.numerics

    @property
    def multiplies_less(self) -> bool:
        """Whether it is known to multiply less than the direct convolution (FFT, Winograd)."""
        return self.arithmetic.endswith("_transformed") and not self.autotuned


#: The fastest cuDNN algorithm of each layer.
THE_BEST_CUDNN = Algorithm(
    BEST_CUDNN, "cuda", label="best cuDNN", role=BASELINE, order=20, color="8", marker="s", in_paper=True
)


def described() -> Mapping[str, Algorithm]:
    """Every algorithm that has a file, and the best cuDNN, by name and in order. Raises ArchiveError."""
    return _described(FOLDER)


@cache
def _described(folder: Path) -> dict[str, Algorithm]:
    found = [THE_BEST_CUDNN, *(_read(path) for path in sorted(folder.glob("*.yaml")))]
    return {one.name: one for one in sorted(found, key=lambda one: (one.order, one.name))}


def _read(path: Path) -> Algorithm:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        about = document.get("about") or {}
        given = {key: document[key] for key in ("name", "backend", "numerics", "arithmetic") if key in document}
        one = Algorithm(**{"name": path.stem} | {key: _value(key, value) for key, value in (given | about).items()})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArchiveError(path, f"not YAML ({' '.join(str(error).split())})", CORRECT) from None
    except (AttributeError, TypeError):
        raise ArchiveError(path, "must be a mapping, and so must `about`", CORRECT) from None
    except ValueError as error:
        raise ArchiveError(path, f"about.{error}", CORRECT) from None
    return one if one.label else replace(one, label=one.name)


def _value(key: str, value: Any) -> Any:
    """Check one value of a file. Raises ValueError that says what was found."""
    kinds = {field.name: field.type for field in fields(Algorithm)}
    choices = {"role": ROLES, "authors_statistic": STATISTICS}.get(key)
    if key not in kinds:
        raise ValueError(f"{key}: is not one of {', '.join(kinds)}")
    if choices and value not in choices:
        raise ValueError(f"{key}: {value!r} is not one of {', '.join(choices)}")
    if kinds[key] in (bool, int) and not isinstance(value, int):
        wanted = "true or false" if kinds[key] is bool else "a whole number"
        raise ValueError(f"{key}: {value!r} is not {wanted}")
    return tuple(value) if key == "numerics" else str(value) if kinds[key] is str else value


def about(name: str) -> Algorithm:
    """Describe an algorithm; one without a file has its name as label, no role, grey as colour and comes last."""
    known = described().get(name)
    return known or Algorithm(name, label=name, role="", order=LAST, marker="+")


def label(name: str) -> str:
    """Name an algorithm for people."""
    return about(name).label


def in_order(names: Iterable[str]) -> list[str]:
    """Sort algorithms as tables and legends show them, each once."""
    return sorted(set(names), key=lambda name: (about(name).order, name))


def paper(kind: str = "cuda") -> str:
    """Name the paper's own convolution on a kind of device (cuda or cpu). Raises ArchiveError where there is none."""
    for name, one in described().items():
        if (one.role, one.backend) == (PAPER, kind):
            return name
    raise ArchiveError(FOLDER, f"no algorithm of the backend {kind} has the role {PAPER}", "give it to one")


def in_paper(kind: str) -> tuple[str, ...]:
    """List the convolutions of the paper's figures on a kind of device, the best cuDNN among them."""
    return tuple(
        name
        for name, one in described().items()
        if one.in_paper and one.backend == kind and one.role in (PAPER, OURS, BASELINE)
    )


def ours(kind: str, numerics: str = "") -> tuple[str, ...]:
    """List our convolutions beyond the paper on a kind of device, of a class of arithmetic if one is given."""
    return tuple(
        name
        for name, one in described().items()
        if one.role == OURS and one.backend == kind and (not numerics or numerics in one.numerics)
    )


def shown(kind: str, present: Iterable[str]) -> tuple[str, ...]:
    """List the paper's convolutions and those of ours that are `present`, right after the paper's own."""
    figures, there = list(in_paper(kind)), set(present)
    after = figures.index(paper(kind)) + 1 if paper(kind) in figures else len(figures)
    beyond = [name for name in ours(kind) if name in there and name not in figures]
    return (*figures[:after], *beyond, *figures[after:])


def ablations() -> tuple[str, ...]:
    """List the ablated variants of the paper, each the paper's kernel without one optimization."""
    return tuple(name for name, one in described().items() if one.role == ABLATION and one.in_paper)


def further_ablations() -> tuple[str, ...]:
    """List the ablated variants that the paper does not have; no claim rests on them."""
    return tuple(name for name, one in described().items() if one.role == ABLATION and not one.in_paper)


def every_ablation() -> tuple[str, ...]:
    """List all ablated variants, those of the paper first."""
    return (*ablations(), *further_ablations())


def with_transform() -> tuple[str, ...]:
    """List the convolutions with a transform that `kernel_only` leaves out."""
    return tuple(name for name, one in described().items() if one.transform_outside_kernel)


def ceilings() -> tuple[str, ...]:
    """List what is not a convolution, but a practical bound of one of the same shape."""
    return tuple(name for name, one in described().items() if one.role == CEILING)


def is_cudnn(name: str) -> bool:
    """Whether an algorithm takes part in the best cuDNN."""
    return about(name).best_of == CUDNN


def is_reduced_baseline(name: str) -> bool:
    """Whether an algorithm takes part in the best TF32 of the libraries, whatever layout it computes in."""
    one = about(name)
    return one.role == BASELINE and TF32 in one.numerics


def is_ours(name: str) -> bool:
    """Whether an algorithm is a convolution of ours, the paper's or a later one."""
    return about(name).role in (PAPER, OURS)


def error_references(numerics: str) -> tuple[str, ...]:
    """List the algorithms whose errors stand for a class of arithmetic.

    Of fp32_accurate they are all of ours; of any other class those that its errors are compared with.
    """
    return tuple(
        name
        for name, one in described().items()
        if numerics in one.numerics and (one.role == OURS if numerics == ACCURATE else one.error_reference)
    )
