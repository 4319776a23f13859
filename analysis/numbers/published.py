"""The paper's claims, its twelve layers and the authors' logged values; their sources are in reference/README.md."""

from functools import cache
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "reference"


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / name)


def layers() -> pd.DataFrame:
    """The twelve layers by name: channels, sizes in elements, stride; conv4 with the layer table's 64 channels."""
    return _read("benchmarks.csv").set_index("layer")


def claims() -> pd.DataFrame:
    """The claims of the paper's abstract: id, statement, metric, baseline, aggregate, its basis, value and unit."""
    return _read("claims.csv").copy()


def memory_baselines() -> tuple[str, ...]:
    """List the algorithms that the claims on memory compare im2win with."""
    found = claims()
    return tuple(found.loc[found["metric"] == "memory_reduction", "baseline"])


def authors_tflops() -> pd.DataFrame:
    """TFLOPS as the authors logged them, layer by algorithm; `cudnn_best` is their column for the best cuDNN."""
    return _read("authors_tflops.csv").set_index("layer")


def authors_memory_mib() -> pd.DataFrame:
    """The whole process's memory (MiB) as the authors logged it, layer by algorithm."""
    return _read("authors_process_memory_mib.csv").set_index("layer")
