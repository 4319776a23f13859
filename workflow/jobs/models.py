"""The whole networks that a run times: a job for each network and backend, and which of its rows still hold.

The output of a job is `run-N.json` in the folder of its network and backend. It has the rows that still held before
and those that the job measured. If some are missing, failed or measured with other sources, the next number is asked
for, which does not exist yet: so Snakemake runs the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from analysis.table.companions import MODELS
from workflow.experiment.catalog import Catalog
from workflow.experiment.errors import BadValueError, ConfigFileError, ResultError, unknown
from workflow.experiment.identity import group_identity
from workflow.experiment.points import positive
from workflow.experiment.request import Request
from workflow.experiment.sweep import Sweep
from workflow.jobs.code import backend_hash
from workflow.jobs.results import read_result
from workflow.networks.backends import BACKENDS, MODES

_MINUTES = 30


class Job(NamedTuple):
    """One network with one backend."""

    suite: str
    backend: str

    @property
    def path(self) -> Path:
        """Where its results lie, below the device's folder."""
        return Path("models", self.suite, self.backend)


def plan(sweep: Sweep) -> dict[Job, list[tuple[int, str]]]:
    """The batches and modes of each job: of the experiment's networks those that are asked for.

    One that the experiment does not list is timed as those of its first list are. Raises RequestError.
    """
    experiment, axes = sweep.experiment, sweep.selection.axes
    where, asked = f"conf/experiment/{experiment['name']}.yaml", axes.get("suite")
    listed = {suite for product in experiment["models"] for suite in product["suite"]}
    found: dict[Job, list[tuple[int, str]]] = {}
    for index, product in enumerate(experiment["models"]):
        others = [suite for suite in asked or () if suite not in listed] if index == 0 else []
        suites = [suite for suite in product["suite"] if not asked or suite in asked] + others
        batches = [positive("batch", batch) for batch in axes.get("batch", product["batch"])]
        for kind, valid in (("backend", BACKENDS), ("mode", MODES)):
            for name in product[kind]:
                if name not in valid:
                    raise ConfigFileError(f"{where}: {unknown(kind, name, valid, ' in models')}")
        for suite in suites:
            for backend in product["backend"]:
                passes = found.setdefault(Job(suite, backend), [])
                timed = [(batch, mode) for batch in batches for mode in product["mode"]]
                passes += [one for one in timed if one not in passes]
    for job in found:
        network(sweep.catalog, job.suite)
        found[job].sort(key=lambda one: one[0])  # batch by batch
    return found


def network(catalog: Catalog, suite: str) -> dict[str, Any]:
    """What makes the model of a suite. Raises BadValueError where nothing does."""
    found = catalog.get("suite", suite)["network"]
    if ":" not in found.get("model", "") or not found.get("inputs"):
        raise BadValueError(
            f"suite {suite} does not say how its model is made, so that its forward pass cannot be timed\n"
            "in its file network: model: must be MODULE:CALLABLE or FILE.py:CALLABLE, with its inputs:, as "
            "python -m workflow.network writes it"
        )
    return {key: found[key] for key in ("model", "inputs", "arguments")}


def identity(sweep: Sweep, job: Job) -> dict[str, Any]:
    """What decides the rows of a job."""
    return {
        "network": network(sweep.catalog, job.suite),
        "protocol": group_identity("protocol", protocol(sweep)),
        "source_hash": backend_hash(sweep.catalog, job.backend),
    }


def protocol(sweep: Sweep) -> dict[str, Any]:
    """How samples are taken: as the experiment's first protocol says, but by the host's clock."""
    return next(iter(sweep.protocols.values()))


def latest(folder: Path) -> tuple[int, dict[str, Any]]:
    """The number of a job's last run and its result, 0 and nothing if there was none; `folder` is that of the job."""
    numbers = [path.stem.removeprefix("run-") for path in folder.glob("run-*.json")]
    last = max((int(number) for number in numbers if number.isdecimal()), default=0)
    return last, (read_result(folder / f"run-{last}.json") or {}) if last else {}


def kept(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a result that still hold: measured as `wanted` (see `identity`), no failures, and none for want of a
    package that is there now.
    """
    if document.get("identity") != wanted:
        return []
    there = find_spec(wanted["network"]["model"].partition(":")[0].partition(".")[0]) is not None
    return [
        one
        for one in document.get("rows", [])
        if one["row"]["status"] != "failed" and (one["environment"] or not there)
    ]


def missing(rows: list[dict[str, Any]], passes: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The batches and modes that no row is of."""
    there = {(one["row"]["batch"], one["row"]["mode"]) for one in rows}
    return [one for one in passes if one not in there]


def collect(sweep: Sweep, folder: Path) -> list[dict[str, Any]]:
    """The rows of all jobs, with the environment and the identity of each; `folder` is the device's.

    Raises ResultError where one is missing.
    """
    found = []
    for job, passes in plan(sweep).items():
        wanted = identity(sweep, job)
        _, document = latest(folder / job.path)
        rows = document.get("rows", []) if document.get("identity") == wanted else []
        if lacking := missing(rows, passes):
            batch, mode = lacking[0]
            raise ResultError(f"{folder / job.path} has no row of batch {batch}, {mode}; run snakemake, which times it")
        found += [one | {"config": wanted} for one in rows if (one["row"]["batch"], one["row"]["mode"]) in passes]
    return found


class Models:
    """The jobs of a request that time networks."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._folder = Path(request.results, request.device)
        self.jobs = plan(request.sweep) if request.sweep else {}

    @cached_property
    def _asked(self) -> dict[Job, tuple[int, bool]]:
        """For each job the number of the run whose result is to be there, and whether it is."""
        sweep, found = self._request.sweep, {}
        for job, passes in self.jobs.items():
            assert sweep is not None
            last, document = latest(self._folder / job.path)
            holds = not missing(kept(document, identity(sweep, job)), passes)
            found[job] = (last if holds else last + 1, holds)
        return found

    @property
    def files(self) -> list[str]:
        """The results that are to be there."""
        return [str(self._folder / job.path / f"run-{number}.json") for job, (number, _) in self._asked.items()]

    @property
    def table(self) -> list[str]:
        """The table of all of them, in the device's folder, if there are any."""
        return [MODELS] if self.jobs else []

    def missing(self) -> list[Path]:
        """Those that jobs are still to write."""
        return [Path(file) for file, (_, there) in zip(self.files, self._asked.values(), strict=True) if not there]

    def threads(self, cores: int | None) -> int:
        """The cores of a job: on each GPU one is measured while the next one gets ready, and no more."""
        gpus = len(self._request.gpus)
        return max(1, (cores or 1) // (2 * gpus)) if gpus else max(1, cores or 1)

    @property
    def minutes(self) -> int:
        """How long a job may take."""
        return _MINUTES
