"""Writes a suite with the convolutions of a model: each size once, with how often one forward pass runs it.

    python -m workflow.network torchvision.models:resnet50 --input 3,224,224
    python -m workflow.network mine.py:Model --arguments width=64 --input 80,101 --input 3,32,32 --name mine
    python -m workflow.network mine.onnx --input 3,224,224 --batch 16

A model is a callable of a module or of a file that makes a torch.nn.Module, or an ONNX file. It runs once, for one
image, on PyTorch's meta device: without weights, memory or a GPU. Writes conf/suite/NAME.yaml; exits 1 with a message
where there is no such model, or it does not run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from analysis.table.files import write_atomically
from kernels.problem import ProblemError
from workflow.experiment.checks import NAMES, is_name
from workflow.experiment.errors import RequestError
from workflow.networks import suite_file
from workflow.networks.convolutions import Convolution, entries
from workflow.networks.errors import ModelError

FOLDER = Path("conf/suite")
_INPUT = re.compile(r"(\d+(?:,\d+)*)?(?::(\w+))?")


def parse_input(text: str) -> tuple[list[int], str]:
    """The sizes of an input, with a batch of 1 first, and its type. Raises ModelError."""
    found = _INPUT.fullmatch(text.replace("x", ","))
    sizes = [int(size) for size in found[1].split(",")] if found and found[1] else []
    if not found or 0 in sizes:
        raise ModelError(
            f"--input {text} is no size; write those of one image with commas, without the batch: 3,224,224; "
            "with a type: 77:int64; nothing before the type for one number an image: :int64"
        )
    return [1, *sizes], found[2] or "float32"


def parse_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Arguments as JSON, or as KEY=VALUE with values as YAML reads them. Raises ModelError."""
    made: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        try:
            given = json.loads(word) if word.lstrip().startswith("{") else {key: yaml.safe_load(value)}
        except (ValueError, yaml.YAMLError) as error:
            raise ModelError(f"--arguments {word} is no JSON: {error}") from None
        if not isinstance(given, dict) or (not equals and key in given):
            raise ModelError(f'--arguments {word}: write KEY=VALUE, or JSON such as {{"width": 64}}')
        made |= given
    return made


def convolutions(options: argparse.Namespace, arguments: dict[str, Any]) -> tuple[list[tuple[str, Convolution]], str]:
    """The convolutions of the model that is asked for, and where it comes from. Raises ModelError."""
    inputs = [parse_input(text) for text in options.input]
    if options.model.endswith(".onnx"):
        from workflow.networks import models, onnx_file

        path = Path(options.model)
        return onnx_file.read(path, [sizes for sizes, _ in inputs]), models.file_source(path)
    if not inputs:
        raise ModelError("give the sizes of the model's input without the batch, such as --input 3,224,224")
    import torch

    from workflow.networks import models, trace

    model = models.make(options.model, arguments, options.device)
    tensors = [torch.zeros(sizes, dtype=models.type_of(kind), device=options.device) for sizes, kind in inputs]
    return trace.run(model, tensors, options.model), models.source_of(options.model)


def write(options: argparse.Namespace) -> str:
    """Write the suite; a line or two on it. Raises RequestError."""
    arguments = parse_arguments(options.arguments)
    name = options.name or re.sub(r".*[:./]", "", options.model.removesuffix(".onnx"))
    if not is_name(name):
        raise ModelError(f"--name {name} cannot be a suite's name; it may hold {NAMES}")
    if options.batch < 1:
        raise ModelError(f"--batch {options.batch}: it must be a positive whole number")
    found, source = convolutions(options, arguments)
    try:
        made = entries(found)
    except ProblemError as error:
        raise ModelError(f"{options.model}: {error}") from None
    if all(entry.unsupported for entry in made):
        reasons = ", ".join(dict.fromkeys(entry.unsupported for entry in made))
        raise ModelError(f"no convolution of {options.model} can be measured here: {reasons}")
    model = without_folder(options.model)
    network = {"model": model, "source": source, "inputs": options.input, "arguments": arguments}
    network = {key: value for key, value in network.items() if value}
    comment = f"The convolutions of {model}, in the order in which they first run. Written by\n{command(options)}"
    path = options.output or FOLDER / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, suite_file.render(name, made, network, comment, options.batch))
    return f"{path}: {suite_file.summary(made)}\nmeasure it: snakemake --config suite={name}"


def command(options: argparse.Namespace) -> str:
    """The command line that writes the same suite again, without what is of this machine alone."""
    words = ["python", "-m", "workflow.network", without_folder(options.model)]
    words += [word for text in options.input for word in ("--input", text)]
    words += ["--arguments", *options.arguments] if options.arguments else []
    words += ["--name", options.name] if options.name else []
    words += ["--batch", str(options.batch)] if options.batch != 64 else []
    words += ["--device", options.device] if options.device != "meta" else []
    return shlex.join(words)


def without_folder(model: str) -> str:
    """A model as a suite names it: of a file its name, and not where it lies on this machine."""
    return os.path.basename(model) if ".py:" in model or model.endswith(".onnx") else model


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m workflow.network", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="MODULE:CALLABLE, FILE.py:CALLABLE or FILE.onnx")
    parser.add_argument(
        "--input", action="append", default=[], help="sizes of one image: 3,224,224; once for each input"
    )
    parser.add_argument("--arguments", nargs="+", default=[], help="of the callable: JSON, or KEY=VALUE ...")
    parser.add_argument("--name", help="the suite's name; the callable's if left out")
    parser.add_argument("--batch", type=int, default=64, help="at which it is measured where an experiment names none")
    parser.add_argument("--output", type=Path, help="the file to write, in place of conf/suite/NAME.yaml")
    parser.add_argument("--device", choices=("meta", "cpu"), default="meta", help="cpu: run it on zeros, with weights")
    options = parser.parse_args(arguments)
    try:
        print(write(options))
    except (RequestError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
