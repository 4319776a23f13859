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
#: Kinds and targets of nodes that add.
_ADDS = {("call_function", operator.add), ("call_function", torch.add), ("call_method", "add")}
#: These change their first argument.
_ADDS_IN_PLACE = {("call_function", operator.iadd), ("call_method", "add_")}
_OURS = tuple(REPLACED_BY.values())


def fold_batch_norm(model: nn.Module) -> fx.GraphModule:
    """A copy of `model`, traced, with its batch norm folded into weights and biases."""
    return cast("fx.GraphModule", optimization.fuse(model))


def fuse(model: nn.Module, numerics: str = NUMERICS[0], *, fallback: bool = True) -> fx.GraphModule:
    """A copy of `model` in eval mode whose convolutions are this project's, and do what follows them as well.

    PyTorch folds batch norm into weights and biases; a sum with another tensor, and a ReLU, are left to the convolution
    where its output goes nowhere else. `numerics` and `fallback` as in `convert`. Raises
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
        if (user := _only_user(node)) is not None and (other := _summand(traced, user, node)) is not None:
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


def _summand(traced: fx.GraphModule, user: fx.Node, node: fx.Node) -> fx.Node | None:
    """What `user` adds to `node`, if it does nothing else and the convolution may as well be computed there."""
    in_place = (user.op, user.target) in _ADDS_IN_PLACE
    if not in_place and (user.op, user.target) not in _ADDS:
        return None
    if len(user.args) != 2 or user.kwargs or (in_place and user.args[0] is not node):
        return None
    others = [one for one in user.args if one is not node]
    if len(others) != 1 or not isinstance(others[0], fx.Node):
        return None
    # Only convolutions may be between: anything else might change in place what this one reads, and it is to be moved.
    between = node.next
    while between is not user:
        if _convolution(traced, between) is None and not _is(traced, between, nn.Identity):
            return None
        between = between.next
    return others[0]


def _add(graph: fx.Graph, node: fx.Node, user: fx.Node, other: fx.Node) -> fx.Node:
    """The call of `node`'s convolution, with `other` as its residual, in the place of `user`."""
    with graph.inserting_before(user):
        call = graph.call_module(str(node.target), (*node.args, other))
    user.replace_all_uses_with(call)
    graph.erase_node(user)
    graph.erase_node(node)
    return call


def _is_relu(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    return _is(traced, node, nn.ReLU) or (node.op == "call_function" and node.target in _RELUS)


def _is(traced: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> bool:
    return node.op == "call_module" and type(traced.get_submodule(str(node.target))) is kind
