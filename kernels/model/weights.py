"""Filters as the kernels read them, prepared once for each weight, and again after it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from .recorded import Prepared, Recorded, current_stream


@dataclass
class Kept:
    """Of one weight: what it was prepared from, and where."""

    storage: StorageWeakRef
    version: int
    prepared: Prepared
    stream: int
    #: Set when the work is known to have ended, so that no other stream need wait for it.
    ended: bool
    event: Any


#: No version of a tensor.
_UNKNOWN = -1
#: Of each record: (address of the weight's storage, the weight's offset in it) -> what was prepared of it.
_KNOWN: WeakKeyDictionary[Recorded, dict[tuple[int, int], Kept]] = WeakKeyDictionary()


def prepared(record: Recorded, weight: torch.Tensor) -> Prepared:
    """What `record` computes with, of a contiguous weight.

    Prepared anew if the weight was changed in place (its version counter says so), if it is another one, and always for
    an inference tensor, which has no such counter. What is changed through `weight.data` is not seen: see `forget`.
    A CUDA graph that is captured takes what was prepared before; else it prepares at every replay.
    """
    if weight.is_inference():
        return record.prepare(weight)
    known, key = _KNOWN.setdefault(record, {}), _place(weight)
    found = known.get(key)
    if found is not None and found.storage.expired():
        found = None  # that of a weight that is gone, whose address another one has now
    capturing = weight.is_cuda and torch.cuda.is_current_stream_capturing()
    if found is None or found.version != weight._version:
        if capturing:
            return record.prepare(weight)
        # In the same tensors, which a CUDA graph may read.
        found = _prepare(record, weight, found.prepared if found else None)
        for gone in [one for one, entry in list(known.items()) if entry.storage.expired()]:
            del known[gone]
        known[key] = found
    elif not (found.ended or capturing or found.stream == current_stream(weight.device)):
        _wait(found)
    if not (found.ended or capturing):
        found.ended = found.event.query()
    return found.prepared


def kept(record: Recorded, weight: torch.Tensor) -> Kept | None:
    """What `prepared` keeps of a weight, if nothing need be waited for; it holds while its version is the weight's."""
    if weight.is_inference() or not weight.is_contiguous():
        return None
    found = _KNOWN.get(record, {}).get(_place(weight))
    return found if found is not None and found.ended and found.version == weight._version else None


def forget() -> None:
    """Prepare all weights anew when they are next used: after changes through `weight.data`, which nobody sees."""
    for known in list(_KNOWN.values()):
        for entry in list(known.values()):
            entry.version = _UNKNOWN


def _prepare(record: Recorded, weight: torch.Tensor, before: Prepared | None) -> Kept:
    made = record.prepare(weight, before)
    event = None
    if weight.is_cuda:
        event = torch.cuda.Event()
        event.record()
    storage = StorageWeakRef(weight.untyped_storage())
    return Kept(storage, weight._version, made, current_stream(weight.device), event is None, event)


def _place(weight: torch.Tensor) -> tuple[int, int]:
    return weight.untyped_storage()._cdata, int(weight.storage_offset())


def _wait(found: Kept) -> None:
    """Make the current stream, which is another one, wait until the weight is prepared."""
    found.ended = found.event.query()
    if not found.ended:
        torch.cuda.current_stream().wait_event(found.event)
    for one in found.prepared.tensors:
        one.record_stream(torch.cuda.current_stream())
