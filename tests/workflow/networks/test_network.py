"""Suites made from models: what is found in one, the file that is written, and what is said where there is none."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow import network

MODELS = """
import torch
from torch import nn
from torch.nn import functional as F


class Small(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.depthwise = nn.Conv2d(width, width, (1, 5), stride=(1, 2), padding=(0, 2), groups=width)

    def forward(self, x):
        return self.depthwise(self.second(self.second(self.first(x))))


class Functional(nn.Module):
    def forward(self, x, audio, index):
        y = F.conv2d(x, x.new_zeros(6, 3, 1, 1))
        audio = F.conv1d(audio, audio.new_zeros(8, 5, 3), padding=2, dilation=2)
        return y, F.conv1d(audio, audio.new_zeros(8, 8, 1)), index + 1


class Others(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat = nn.Conv2d(2, 3, 3)
        self.up = nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1)
        self.deep = nn.Conv3d(1, 2, 3)

    def forward(self, x):
        windows = torch.cat([x, x, x])
        return self.deep(self.up(self.flat(windows)).unsqueeze(1))


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.deep = nn.Conv3d(1, 2, 3)

    def forward(self, x):
        return self.deep(x)


class AsksForData(nn.Module):
    def __init__(self):
        super().__init__()
        self.only = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.only(x) if x.sum() > 0 else self.only(x)


class NeedsWidth(nn.Module):
    def __init__(self, width):
        super().__init__()


def linear():
    return nn.Linear(3, 4)


def broken():
    raise ValueError("no such size")


def number():
    return 7
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of models, where programs run."""
    (tmp_path / "models_of_mine.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suite(command: str) -> dict[str, Any]:
    """The suite that a command line writes to suite.yaml."""
    assert network.main([*shlex.split(command), "--output", "suite.yaml"]) == 0
    loaded = yaml.safe_load(Path("suite.yaml").read_text())
    assert loaded.pop("defaults") == ["/schema/suite@_here_", "_self_"]
    return dict(loaded)


def test_modules(made: Path) -> None:
    found = suite("models_of_mine.py:Small --input 3,8,10 --batch 16")
    assert found["name"] == "Small"
    assert found["batch"] == 16
    assert list(found["counts"].items()) == [
        ("ic3ih8iw10oc4kh3kw3ph1pw1", 1),
        ("ic4ih8iw10oc4kh3kw3ph1pw1", 2),
        ("g4ic4ih8iw10oc4kh1kw5sh1sw2ph0pw2", 1),
    ]
    assert found["network"]["model"] == "models_of_mine.py:Small"
    assert found["network"]["source"].startswith("models_of_mine.py, SHA-256 ")
    text = (made / "suite.yaml").read_text()
    assert "python -m workflow.network models_of_mine.py:Small --input 3,8,10 --batch 16\n" in text
    assert "ic4ih8iw10oc4kh3kw3ph1pw1: 2  # second" in text
    assert str(made) not in text


def test_what_a_file_is_called_says_nothing_of_the_machine(made: Path) -> None:
    suite(f"{made}/models_of_mine.py:Small --input 3,8,10")
    assert str(made) not in (made / "suite.yaml").read_text()


def test_arguments_and_a_name(made: Path) -> None:
    for words in ("width=6", "'{\"width\": 6}'"):
        found = suite(f"models_of_mine.py:Small --input 3,8,8 --name mine --arguments {words}")
        assert (found["name"], found["network"]["arguments"]) == ("mine", {"width": 6})
        assert list(found["counts"])[0] == "ic3ih8oc6kh3ph1"


def test_functions_and_several_inputs(made: Path) -> None:
    found = suite("models_of_mine.py:Functional --input 3,8,8 --input 5,20 --input :int64")
    assert found["counts"] == {"ic3ih8oc6kh1": 1, "ic5iw20oc8kw3pw2dw1": 1, "ic8iw20oc8kw1": 1}
    assert found["network"]["inputs"] == ["3,8,8", "5,20", ":int64"]


def test_what_is_unsupported_stays_with_its_flops(made: Path) -> None:
    """Three images run inside for one of the model's."""
    found = suite("models_of_mine.py:Others --input 2,8,8")
    assert found["counts"] == {"ic2ih8oc3kh3": 3}
    up, deep = found["unsupported"]
    assert up == {
        "layer": "transposed ic3ih6iw6oc4oh12ow12kh4kw4sh2sw2ph1pw1",
        "count": 3,
        "reason": "transposed convolution",
        "flops": 2 * 6 * 6 * 4 * 4 * 3 * 4,
    }
    assert (deep["layer"], deep["reason"]) == ("ic1id4ih12iw12oc2kd3kh3kw3", "three dimensions")
    assert (deep["count"], deep["flops"]) == (3, 2 * 2 * 10 * 10 * 27 * 2)
    assert "% unsupported (transposed convolution, three dimensions)" in (made / "suite.yaml").read_text()


def test_a_model_that_asks_for_data_runs_on_zeros(made: Path) -> None:
    found = suite("models_of_mine.py:AsksForData --input 3,8,8 --device cpu")
    assert found["counts"] == {"ic3ih8oc4kh1": 1}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("no_such_module:Model --input 3,8,8", ["no module no_such_module"]),
        ("missing.py:Model --input 3,8,8", ["no file missing.py"]),
        ("missing.onnx", ["onnx"]),
        ("models_of_mine.py --input 3,8,8", ["names no model", "MODULE:CALLABLE"]),
        ("models_of_mine.py:Smal --input 3,8,8", ["no Smal; did you mean Small?"]),
        ("models_of_mine.py:number --input 3,8,8", ["makes a int, not a torch.nn.Module"]),
        ("models_of_mine.py:broken --input 3,8,8", ["makes no model", "ValueError: no such size"]),
        ("models_of_mine.py:NeedsWidth --input 3,8,8", ["missing 1 required", "--arguments"]),
        ("models_of_mine.py:Small --input 3,8,8 --arguments widht=3", ["unexpected keyword argument", "widht"]),
        ("models_of_mine.py:Small --input 3,8,8 --arguments width", ["--arguments width", "KEY=VALUE"]),
        ("models_of_mine.py:Small", ["--input 3,224,224"]),
        ("models_of_mine.py:Small --input 3,a", ["--input 3,a is no size"]),
        ("models_of_mine.py:Small --input 3,0,8", ["--input 3,0,8 is no size"]),
        ("models_of_mine.py:Small --input 3,8,8:real", ["real is no type"]),
        ("models_of_mine.py:Small --input 5,8,8", ["does not run on an input of 1x5x8x8 in first", "channel"]),
        ("models_of_mine.py:Small --input 3,8,8 --batch 0", ["--batch 0"]),
        ("models_of_mine.py:Small --input 3,8,8 --name a/b", ["--name a/b", "letters"]),
        ("models_of_mine.py:AsksForData --input 3,8,8", ["asks for data", "--device cpu"]),
        ("models_of_mine.py:linear --input 3", ["runs no convolution"]),
        ("models_of_mine.py:Deep --input 1,8,8,8", ["can be measured here: three dimensions"]),
    ],
)
def test_what_is_said_of_a_model_that_there_is_not(
    made: Path, capsys: pytest.CaptureFixture[str], words: str, named: list[str]
) -> None:
    assert network.main([*shlex.split(words), "--output", "suite.yaml"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    for text in named:
        assert text in said
    assert not (made / "suite.yaml").exists()


def test_torchvision_is_named_where_it_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        import torchvision  # type: ignore[import-not-found] # noqa: F401
    except ImportError:
        assert network.main(["torchvision.models:resnet50", "--input", "3,224,224"]) == 1
        assert "pip install torchvision==0." in capsys.readouterr().err


def test_an_onnx_file(made: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = [("f", [4, 3, 3, 3]), ("u", [4, 2, 2, 2]), ("d", [2, 1, 3, 3])]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "f"], ["y"], "first", auto_pad="SAME_UPPER", strides=[2, 2]),
            helper.make_node("ConvTranspose", ["y", "u"], ["z"], "up", strides=[2, 2]),
            helper.make_node("Conv", ["z", "d"], ["v"], "deep", group=2, pads=[1, 0, 0, 2]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", kind, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("v", kind, None)],
        [
            helper.make_tensor(name, kind, sizes, [0.0] * (sizes[0] * sizes[1] * sizes[2] * sizes[3]))
            for name, sizes in weights
        ],
    )
    onnx.save(helper.make_model(graph), str(made / "mine.onnx"))
    found = suite("mine.onnx --input 3,8,8")
    assert found["name"] == "mine"
    assert found["counts"] == {"ic3ih8oc4oh4kh3sh2ph0": 1, "g2ic2ih8iw8oc2oh7ow8kh3kw3ph1pw0": 1}
    assert [entry["reason"] for entry in found["unsupported"]] == ["transposed convolution"]
    assert network.main(["mine.onnx"]) == 1
