"""Groups of points: what one job measures, and whether there is something to measure.

The output of a job is `job-N.json` in the folder of its first point: it lists the points with their configuration and
source hash. The results themselves are no outputs of a rule, so Snakemake deletes none, and a job that is started again
measures only what is missing. A group of which something is missing, failed or measured with other sources asks for
the next number, which does not exist yet: so Snakemake runs the job.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from workflow.experiment.errors import ResultError
from workflow.experiment.points import Point
from workflow.experiment.sweep import Sweep
from workflow.jobs.results import brief, holds, read_result, stamp

#: On one host. With a job for each point a GPU is kept busy, and a changed kernel is measured by itself; on the CPU
#: only one job runs at a time.
POINTS_PER_JOB = {"cuda": 1, "cpu": 8}
#: More points than this share jobs, some SHARED_JOBS of them: Snakemake needs milliseconds to plan a job, and the job
#: most of a second to read conf/.
MANY_POINTS = 1000
SHARED_JOBS = 400


def points_per_job(points: int, backend: str) -> int:
    """How many of so many points are measured by one job, on one host."""
    shared = math.ceil(points / SHARED_JOBS) if points > MANY_POINTS else 1
    return max(POINTS_PER_JOB[backend], shared)


def split(points: Iterable[Point], size: int) -> dict[str, list[Point]]:
    """Groups of `size` points or fewer, by the path of their first one, in the order of the points.

    The algorithms on one layer at one batch stay together where they fit: what is compared is measured on one GPU.
    """
    groups: list[list[Point]] = []
    for _, found in groupby(points, lambda point: (point.suite, point.layer, point.batch)):
        block = list(found)
        if groups and groups[-1][0].suite == block[0].suite and len(groups[-1]) + len(block) <= size:
            groups[-1] += block
            continue
        parts = math.ceil(len(block) / size)
        bounds = [len(block) * part // parts for part in range(parts + 1)]
        groups += [block[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]
    return {group[0].path: group for group in groups}


class Groups:
    """The groups of a sweep whose results lie in `folder`."""

    def __init__(self, sweep: Sweep, folder: Path, size: int) -> None:
        self.sweep = sweep
        self.folder = folder
        self.members = split(sweep.points.values(), size)

    def find(self, name: str) -> list[Point]:
        """The points of a group. Raises ResultError where there is none of that name."""
        if name not in self.members:
            raise ResultError(
                f"{name} begins no job of this run; name points by --config suite=, layer=, algorithm=..."
            )
        return self.members[name]

    def result(self, point: Point) -> Path:
        """Where a point's result is, or will be."""
        return self.folder / point.path / "result.json"

    def files(self, name: str) -> list[Path]:
        """The files that tell that a group is measured.

        One that is still to be made, if there is something to measure. Else the one of the last job; if that was of
        another group, the results.
        """
        last = last_job(self.folder / name)
        listed = (read_result(self.folder / name / f"job-{last}.json") or {}).get("points", {})
        is_current = True
        for point in self.members[name]:
            known = listed.get(point.path, {})
            now = stamp(self.result(point))
            if now is None or now != known.get("stamp"):
                is_current = False
                known = brief(read_result(self.result(point))) if now else {}
            if not holds(known, self.sweep, point):
                return [self.folder / name / f"job-{last + 1}.json"]
        if is_current:
            return [self.folder / name / f"job-{last}.json"]
        return [self.result(point) for point in self.members[name]]

    def missing(self) -> list[Path]:
        """The results that jobs are still to write."""
        jobs = [name for name in self.members if not self.files(name)[0].exists()]
        return [
            self.result(point)
            for name in jobs
            for point in self.members[name]
            if not holds(brief(read_result(self.result(point))), self.sweep, point)
        ]


def last_job(folder: Path) -> int:
    """The number of the last job of the group whose first point has this folder; 0 if there was none."""
    numbers = (path.stem.removeprefix("job-") for path in folder.glob("job-*.json"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)
