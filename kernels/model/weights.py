"""Filters as the kernels read them, prepared once for each weight, and again after it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from .recorded import Prepared, Recorded, current_stream


@dataclass
class _Prepared:
    """Of one weight: what it was prepared from, and where."""

    storage: StorageWeakRef
    version: int
    held: Prepared
    stream: int
    #: Set when the work is known to have ended, so that no other stream need wait for it.
    ended: bool
    event: Any


#: No version of a tensor.
_UNKNOWN = -1
#: Of each record: (address of the weight's storage, the weight's offset in it) -> what was prepared of it.
_KNOWN: WeakKeyDictionary[Recorded, dict[tuple[int, int], _Prepared]] = WeakKeyDictionary()
#: The same by identity, of a record and a weight, where nothing need be waited for; with the weight's address.
_RECENT: dict[tuple[int, int], tuple[ref[Recorded], ref[torch.Tensor], int, _Prepared]] = {}
_MOST_RECENT = 4096


def prepared(record: Recorded, weight: torch.Tensor) -> Prepared:
    """What `record` computes with, of a contiguous weight.

    Prepared anew if the weight was changed in place (its version counter says so), if it is another one, and always for
    an inference tensor, which has no such counter. What is changed through `weight.data` is not seen: see `forget`.
    A CUDA graph that is captured takes what was prepared before; else it prepares at every replay.
    """
    recent = _RECENT.get((id(record), id(weight)))
    if recent is not None:
        same_record, same_weight, address, entry = recent
        if (
            same_weight() is weight
            and same_record() is record
            and weight._version == entry.version
            and weight.data_ptr() == address
        ):
            return entry.held
    if weight.is_inference():
        return record.prepare(weight)
    storage = weight.untyped_storage()
    known = _KNOWN.setdefault(record, {})
    key = (storage._cdata, int(weight.storage_offset()))
    found = known.get(key)
    if found is not None and found.storage.expired():
        found = None  # that of a weight that is gone, whose address another one has now
    capturing = weight.is_cuda and torch.cuda.is_current_stream_capturing()
    if found is None or found.version != weight._version:
        if capturing:
            return record.prepare(weight)
        # In the same tensors, which a CUDA graph may read.
        found = _prepare(record, weight, found.held if found else None)
        for gone in [one for one, entry in list(known.items()) if entry.storage.expired()]:
            del known[gone]
        known[key] = found
    elif not (found.ended or capturing or found.stream == current_stream(weight.device)):
        _wait(found)
    if found.ended:
        if len(_RECENT) >= _MOST_RECENT:
            _RECENT.clear()
        _RECENT[id(record), id(weight)] = ref(record), ref(weight), weight.data_ptr(), found
    elif not capturing and found.event.query():
        found.ended = True
    return found.held


def forget() -> None:
    """Prepare all weights anew when they are next used: after changes through `weight.data`, which nobody sees."""
    for known in list(_KNOWN.values()):
        for entry in list(known.values()):
            entry.version = _UNKNOWN


def _prepare(record: Recorded, weight: torch.Tensor, before: Prepared | None) -> _Prepared:
    held = record.prepare(weight, before)
    event = None
    if weight.is_cuda:
        event = torch.cuda.Event()
        event.record()
    storage = StorageWeakRef(weight.untyped_storage())
    return _Prepared(storage, weight._version, held, current_stream(weight.device), event is None, event)


def _wait(found: _Prepared) -> None:
    """Make the current stream, which is another one, wait until the weight is prepared."""
    found.ended = found.event.query()
    if not found.ended:
        torch.cuda.current_stream().wait_event(found.event)
    for one in found.held.tensors:
        one.record_stream(torch.cuda.current_stream())
