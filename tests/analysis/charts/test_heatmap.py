"""The heatmap of speedups."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from analysis.charts import heatmap
from analysis.frames import speed
from analysis.table.archive import Archive

Rows = list[dict[str, Any]]
Make = Callable[..., dict[str, Any]]
Build = Callable[..., Path]


def test_the_heatmap_prints_every_cell(small: Archive) -> None:
    axes = heatmap.draw(speed.speedup(small)).axes[0]
    assert [text.get_text() for text in axes.texts] == [
        *["2.00", "-", "0.50"],
        *["1.00", "failed", "1.00"],
        *["incorr.", "-", "unsup."],
    ]
    boxes = [one for one in axes.patches if isinstance(one, Rectangle)]
    assert [bool(box.get_hatch()) for box in boxes] == [text.get_text()[0] not in "012" for text in axes.texts]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["im2win", "cuDNN GEMM", "cuDNN Winograd"]
    faster, as_fast, slower = (to_rgb(boxes[index].get_facecolor()) for index in (0, 3, 2))
    assert min(as_fast) > 0.9  # the middle is nearly white
    assert faster[2] > faster[0]  # bluish
    assert slower[0] > slower[2]  # orange
