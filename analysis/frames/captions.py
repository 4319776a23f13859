"""Figure captions: `captions.json` in the folder of the figures, written with them and read by the report."""

import json
from collections.abc import Mapping
from pathlib import Path

from analysis.frames.common import NOT_DRAWN, Picture
from analysis.table.errors import ArchiveError

CAPTIONS = "captions.json"
#: Captions of the paper's figures for a folder without that file.
PAPER_CAPTIONS = {
    "tflops": "Speed per layer, counting the FLOPs of the direct convolution for every algorithm.",
    "memory": "Memory per layer.",
    "ablation": "Speed of im2win, and of im2win without one of its optimizations each.",
}


def captions_json(pictures: Mapping[str, Picture]) -> str:
    """Write the captions as JSON, in the figures' order; that of a figure that is not drawn begins with NOT_DRAWN."""
    return json.dumps({name: picture.text for name, picture in pictures.items()}, indent=1) + "\n"


def read_captions(figures: Path) -> dict[str, str]:
    """Read the captions of the figures that were drawn, in the order of captions.json.

    Without that file, the paper's figures that exist have PAPER_CAPTIONS. Raises ArchiveError for a damaged file.
    """
    path = figures / CAPTIONS
    found = PAPER_CAPTIONS
    if path.is_file():
        try:
            entries = json.loads(path.read_text(encoding="utf-8")).items()
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
            wrong = f"does not hold the figures' captions ({error})"
            raise ArchiveError(path, wrong, "delete it and run snakemake, which draws again") from None
        found = {name: str(caption) for name, caption in entries if not str(caption).startswith(NOT_DRAWN)}
    return {name: caption for name, caption in found.items() if (figures / f"{name}.svg").is_file()}
