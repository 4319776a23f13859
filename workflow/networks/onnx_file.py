"""The convolutions of an ONNX file, by ONNX's own inference of shapes. Needs the package onnx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernels.problem import Axis
from workflow.networks.convolutions import Convolution, axes_of, reason
from workflow.networks.errors import ModelError


def read(path: Path, inputs: Sequence[Sequence[int]]) -> list[tuple[str, Convolution]]:
    """(node, convolution) for every convolution of the file, in the order of its nodes.

    `inputs` are the sizes of its inputs, with a batch of 1 first; without any they are the file's own. Raises
    ModelError.
    """
    try:
        import onnx
        from onnx import shape_inference
    except ModuleNotFoundError:
        raise ModelError("onnx is not installed, and reads ONNX files; python -m pip install onnx gets it") from None
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        model = onnx.load(str(path), load_external_data=False)
        _set_sizes(model, inputs)
        graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except ModelError:
        raise
    except Exception as error:  # of several kinds, for a damaged file and for sizes that do not go together
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{path.name}: {said[0][:200]}") from error
    shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    if not nodes:
        raise ModelError(f"{path.name} has no convolution")
    return [(node.name, _convolution(node, shapes, path.name)) for node in nodes]


def _set_sizes(model: Any, inputs: Sequence[Sequence[int]]) -> None:
    """Give the model's inputs these sizes, and a batch of 1 where they have none."""
    weights = {tensor.name for tensor in model.graph.initializer}
    taken = [value for value in model.graph.input if value.name not in weights]
    if inputs and len(inputs) != len(taken):
        raise ModelError(f"{len(inputs)} inputs are given, and the model takes {len(taken)}: {_names(taken)}")
    for index, value in enumerate(taken):
        dimensions = value.type.tensor_type.shape.dim
        if not inputs:
            if not dimensions[0].dim_value:
                dimensions[0].dim_value = 1
            continue
        if len(dimensions) != len(inputs[index]):
            raise ModelError(f"input {value.name} has {len(dimensions)} dimensions with the batch, not {inputs[index]}")
        for dimension, size in zip(dimensions, inputs[index], strict=True):
            dimension.dim_value = size


def _names(values: Sequence[Any]) -> str:
    return ", ".join(value.name for value in values)


def _shape(value: Any) -> list[int]:
    """The sizes of a value; 0 where they are not known."""
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def _convolution(node: Any, shapes: dict[str, list[int]], file: str) -> Convolution:
    x, f, y = (shapes.get(name, []) for name in (node.input[0], node.input[1], node.output[0]))
    if not x or not f or not all(x) or not all(f) or not y or not all(y):
        raise ModelError(
            f"{file}: the sizes of {node.name or node.output[0]} are not known; give --input for each input"
        )
    import onnx

    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    dimensions = len(x) - 2
    stride, dilation = given.get("strides", [1] * dimensions), given.get("dilations", [1] * dimensions)
    pads = given.get("pads", [0] * 2 * dimensions)
    sides = list(zip(pads[:dimensions], pads[dimensions:], strict=True))
    is_transposed = node.op_type == "ConvTranspose"
    how = given.get("auto_pad", b"NOTSET").decode()
    if how.startswith("SAME") and not is_transposed:
        # As much as the output takes, which has one element for each stride; an odd one after, or before.
        reaches = [Axis(1, taps, dilation=spread).reach for taps, spread in zip(f[2:], dilation, strict=True)]
        total = [
            max(0, (out - 1) * step + reach - size)
            for out, step, reach, size in zip(y[2:], stride, reaches, x[2:], strict=True)
        ]
        sides = [(pad // 2, pad - pad // 2) if how == "SAME_UPPER" else (pad - pad // 2, pad // 2) for pad in total]
    return Convolution(
        in_channels=x[1],
        out_channels=y[1],
        axes=axes_of(x[2:], f[2:], stride, sides, dilation),
        groups=given.get("group", 1),
        images=x[0],
        unsupported=reason(dimensions, is_transposed),
        outputs=tuple(y[2:]) if is_transposed else (),
    )
