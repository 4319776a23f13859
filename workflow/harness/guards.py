"""Bands of known bytes before and after every tensor of a measurement, so that a write out of bounds is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

#: Bytes of a band. A multiple of what allocators align to, so that a tensor lies as it would without its bands.
BAND = 65536
#: A band's bytes. As floats they are NaN, so that a value read out of bounds spoils the result that it enters.
FILL = 255


class Guards:
    """The guarded tensors of one measurement; they live as long as this."""

    def __init__(self) -> None:
        self._bands: list[tuple[str, torch.Tensor]] = []

    @property
    def bytes(self) -> int:
        """What the bands take of the device's memory."""
        return BAND * len(self._bands)

    def empty(self, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device | str) -> torch.Tensor:
        """A contiguous tensor like torch.empty's, with a band on either side; a message calls it `name`."""
        size = math.prod(shape) * dtype.itemsize
        if size == 0:
            return torch.empty(shape, dtype=dtype, device=device)
        memory = torch.empty(BAND + size + BAND, dtype=torch.uint8, device=device)
        # Copied from the host: filling them on the device would load kernels, tens of MiB of them, which would count as
        # the algorithm's memory.
        fill = torch.full((BAND,), FILL, dtype=torch.uint8)
        before, after = memory[:BAND], memory[BAND + size :]
        self._bands += [(f"before {name}", before.copy_(fill)), (f"after {name}", after.copy_(fill))]
        return memory[BAND : BAND + size].view(dtype).view(tuple(shape))

    def around(self, name: str, device: torch.device) -> Allocations:
        """A context in which torch.empty and torch.zeros give guarded tensors, so that a plan's workspace is one.

        Tensors on other devices than `device` are none of the plan's.
        """
        return Allocations(self, name, device)

    def damaged(self) -> list[str]:
        """The bands that somebody has written into, such as `after Y`."""
        if not self._bands:
            return []
        intact = torch.stack([(band == FILL).all() for _, band in self._bands]).tolist()
        return [name for (name, _), whole in zip(self._bands, intact, strict=True) if not whole]


class Allocations(TorchFunctionMode):
    """See Guards.around."""

    def __init__(self, guards: Guards, name: str, device: torch.device) -> None:
        super().__init__()
        self._guards = guards
        self._name = name
        self._device = device

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if function not in (torch.empty, torch.zeros) or not keywords.keys() <= {"dtype", "device"}:
            return function(*args, **keywords)
        if torch.device(keywords.get("device") or "cpu").type != self._device.type:
            return function(*args, **keywords)
        shape = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        with torch._C.DisableTorchFunction():
            dtype = keywords.get("dtype") or torch.get_default_dtype()
            tensor = self._guards.empty(self._name, shape, dtype, keywords.get("device") or "cpu")
            return tensor.zero_() if function is torch.zeros else tensor
