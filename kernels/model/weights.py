"""Filters as the kernels read them, prepared once for each weight, and again after it has changed.

What is prepared alike is shared, by several batch sizes for instance, and goes with its weight: at the latest when
another weight is prepared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
#: (how it is prepared, address of the weight's storage, the weight's offset in it) -> what was prepared of it.
_KNOWN: dict[tuple[int, int, int], Kept] = {}


def prepared(record: Recorded, weight: torch.Tensor) -> Prepared:
    """What `record` computes with, of a contiguous weight.

    Prepared anew if the weight was changed in place (its version counter says so), if it is another one, and always for
    an inference tensor, which has no such counter. What is changed through `weight.data` is not seen: see `forget`.
    A CUDA graph that is captured takes what was prepared before; else it prepares at every replay.
    """
    if weight.is_inference():
        return record.prepare(weight)
    key = _key(record, weight)
    found = _KNOWN.get(key)
    if found is not None and found.storage.expired():
        found = None  # that of a weight that is gone, whose address another one has now
    capturing = weight.is_cuda and torch.cuda.is_current_stream_capturing()
    if found is None or found.version != weight._version:
        if capturing:
            return record.prepare(weight)
        if found is None:  # a new weight, perhaps instead of others
            for gone in [one for one, entry in list(_KNOWN.items()) if entry.storage.expired()]:
                _KNOWN.pop(gone, None)
        # In the same tensors, which a CUDA graph may read.
        _KNOWN[key] = found = _prepare(record, weight, found.prepared if found else None)
    elif not (found.ended or capturing or found.stream == current_stream(weight.device)):
        _wait(found)
    if not (found.ended or capturing):
        found.ended = found.event.query()
    return found.prepared


def kept(record: Recorded, weight: torch.Tensor) -> Kept | None:
    """What `prepared` keeps of a weight, if nothing need be waited for; it holds while its version is the weight's."""
    if weight.is_inference() or not weight.is_contiguous():
        return None
    found = _KNOWN.get(_key(record, weight))
    return found if found is not None and found.ended and found.version == weight._version else None


def forget() -> None:
    """Prepare all weights anew when they are next used: after changes through `weight.data`, which nobody sees."""
    for entry in list(_KNOWN.values()):
        entry.version = _UNKNOWN


def _prepare(record: Recorded, weight: torch.Tensor, before: Prepared | None) -> Kept:
    made = record.prepare(weight, before)
    event = None
    if weight.is_cuda:
        event = torch.cuda.Event()
        event.record()
    storage = StorageWeakRef(weight.untyped_storage())
    return Kept(storage, weight._version, made, current_stream(weight.device), event is None, event)


def _key(record: Recorded, weight: torch.Tensor) -> tuple[int, int, int]:
    return record.preparation, weight.untyped_storage()._cdata, int(weight.storage_offset())


def _wait(found: Kept) -> None:
    """Make the current stream, which is another one, wait until the weight is prepared."""
    found.ended = found.event.query()
    if not found.ended:
        torch.cuda.current_stream().wait_event(found.event)
    for one in found.prepared.tensors:
        one.record_stream(torch.cuda.current_stream())
