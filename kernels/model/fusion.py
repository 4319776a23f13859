"""A network's batch norm, residuals and ReLU moved into its convolutions, for inference."""

from __future__ import annotations

import operator
from collections import Counter
from typing import cast

import torch
from torch import fx, nn
from torch.fx.experimental import optimization
from torch.nn import functional

from .dispatch import NUMERICS
from .modules import REPLACED_BY, convert

_RELUS = {torch.relu, torch.relu_, functional.relu, functional.relu_}
_ADDS = {operator.add, operator.iadd, torch.add}
_OURS = tuple(REPLACED_BY.values())


def fold_batch_norm(model: nn.Module) -> fx.GraphModule:
    """A copy of `model`, traced, with its batch norm folded into weights and biases."""
    return cast("fx.GraphModule", optimization.fuse(model))


def fuse(model: nn.Module, numerics: str = NUMERICS[0], *, fallback: bool = True) -> fx.GraphModule:
    """A copy of `model` in eval mode whose convolutions are this project's, and do what follows them as well.

    PyTorch folds batch norm into weights and biases; a sum with another tensor of the output's shape, and a ReLU, are
    left to the convolution where its output goes nowhere else. `numerics` and `fallback` as in `convert`. Raises
    ValueError if the model is in training mode, and what torch.fx raises for a model that it cannot trace: its control
    flow must not depend on values.
    """
    if model.training:
        raise ValueError("fuse is for inference, and the model is in training mode: call model.eval() first")
    traced = fold_batch_norm(model)
    convert(traced, numerics, fallback=fallback)
    uses = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        if (module := _convolution(traced, node)) is None or uses[node.target] > 1:
            continue
        if (user := _only_user(node)) is not None and (other := _summand(user, node)) is not None:
            node = _add(traced.graph, node, user, other)
            user = _only_user(node)
        if user is not None and _is_relu(traced, user):
            module.relu = True  # type: ignore[assignment]
            user.replace_all_uses_with(node)
            traced.graph.erase_node(user)
    traced.recompile()
    return traced


def _convolution(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module that a node calls with one input, if it is a convolution of ours."""
    if node.op != "call_module" or len(node.all_input_nodes) != 1 or len(node.args) != 1:
        return None
    module = traced.get_submodule(str(node.target))
    return module if isinstance(module, _OURS) else None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _summand(user: fx.Node, node: fx.Node) -> fx.Node | None:
    """What `user` adds to `node`, if it does nothing else."""
    is_sum = (user.op == "call_function" and user.target in _ADDS) or (
        user.op == "call_method" and user.target in ("add", "add_")
    )
    if not is_sum or len(user.args) != 2 or user.kwargs:
        return None
    others = [one for one in user.args if one is not node]
    return others[0] if len(others) == 1 and isinstance(others[0], fx.Node) else None


def _add(graph: fx.Graph, node: fx.Node, user: fx.Node, other: fx.Node) -> fx.Node:
    """The call of `node`'s convolution, with `other` as its residual, in the place of `user`."""
    with graph.inserting_before(user):
        call = graph.call_module(str(node.target), (*node.args, other))
    user.replace_all_uses_with(call)
    graph.erase_node(user)
    graph.erase_node(node)
    return call


def _is_relu(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return type(traced.get_submodule(str(node.target))) is nn.ReLU
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    return node.op == "call_function" and node.target in _RELUS
