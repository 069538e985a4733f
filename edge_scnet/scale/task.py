"""A task: a function of this package, its inputs by hash and its settings; and the worker's side.

A worker keeps the inputs that it was given. What it lacks and does not find in the shared folder it
asks for by its answer, and the task is sent again with it: nothing but an `Executor` is needed for
that.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from edge_scnet.core.files import sha256_bytes
from edge_scnet.machine.one_thread import one_thread
from edge_scnet.scale.identity import Identity, identity, worker_name
from edge_scnet.scale.store import Arrays, Blobs

T = TypeVar("T")

# What a worker keeps of inputs, and how many objects made of them, such as opened graphs.
_MOST_KEPT_BYTES, _MOST_MADE = 1 << 30, 4


class Work(Protocol):
    """A function at the top of a module: what a task computes."""

    def __call__(self, inputs: Inputs, settings: Mapping[str, Any]) -> Arrays: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one worker is to compute; equal tasks have equal results."""

    work: Callable[[Inputs, Mapping[str, Any]], Arrays]
    # sha256 by the name that `work` knows an input by
    inputs: Mapping[str, str]
    # plain JSON
    settings: Mapping[str, Any] = field(default_factory=dict)
    # that it runs, for progress
    images: int = 0
    # whether a later run may want the result
    keep: bool = True

    def key(self, of: Identity) -> str:
        """The hash of all that decides the result.

        Args:
            of: what the workers compute with.
        """
        work = f"{self.work.__module__}:{self.work.__qualname__}"
        everything = {
            "work": work,
            "inputs": dict(self.inputs),
            "settings": dict(self.settings),
            "versions": of.versions,
            "code": of.code,
            "computed by": [of.architecture, *of.features],
        }
        return sha256_bytes(json.dumps(everything, sort_keys=True).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A task as it is sent to a worker."""

    task: Task
    # what all workers are to compute with
    expected: Identity
    # a folder that the worker sees under the same path; None: it sees none
    store: Path | None
    # inputs that a worker has asked for, by hash
    given: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a call: arrays, or why there are none."""

    worker: str
    arrays: Arrays | None = None
    seconds: float = 0.0
    # hashes of the inputs that the worker does not have
    missing: tuple[str, ...] = ()
    # how the worker differs from what is expected of all
    refused: tuple[str, ...] = ()


class Inputs:
    """The inputs of a task, in the worker."""

    def __init__(self, hashes: Mapping[str, str], data: Mapping[str, bytes]) -> None:
        """Takes what was found of them.

        Args:
            hashes: by name.
            data: by hash.
        """
        self._hashes, self._data = hashes, data

    def __getitem__(self, name: str) -> bytes:
        return self._data[self._hashes[name]]

    def made(self, names: tuple[str, ...], make: Callable[..., T], *args: Any) -> T:
        """What a function makes of inputs, and of arguments behind them; kept for tasks to come.

        Args:
            make: a function at the top of a module.
        """
        what = f"{make.__module__}.{make.__qualname__} {args!r}"
        return self.kept(names, what, lambda: make(*(self[name] for name in names), *args))

    def kept(self, names: tuple[str, ...], what: str, make: Callable[[], T]) -> T:
        """What a function makes of inputs, kept under their hashes and a name of its own.

        Args:
            names: of all inputs that decide it.
            what: the name; no other function may use it.
        """
        hashes = [self._hashes[name] for name in names]
        return _kept.made(f"{hashes} {what}", make)


class _Kept:
    """What a worker process keeps between tasks, the least used of it dropped first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._made: OrderedDict[str, Any] = OrderedDict()
        self._bytes = 0

    def found(self, call: Call) -> dict[str, bytes | None]:
        """The inputs of a call by hash; None: it is nowhere."""
        given = {
            digest: data for digest, data in call.given.items() if sha256_bytes(data) == digest
        }
        with self._lock:
            found = {
                digest: given[digest] if digest in given else self._find(digest, call.store)
                for digest in call.task.inputs.values()
            }
            # behind the search: what is kept of them may drop what this call needs too
            for digest, data in given.items():
                self._keep(digest, data)
            return found

    def _find(self, digest: str, store: Path | None) -> bytes | None:
        if digest in self._blobs:
            self._blobs.move_to_end(digest)
            return self._blobs[digest]
        data = None if store is None else Blobs(store).get(digest)
        if data is not None:
            self._keep(digest, data)
        return data

    def _keep(self, digest: str, data: bytes) -> None:
        if digest not in self._blobs:
            self._blobs[digest] = data
            self._bytes += len(data)
        while self._bytes > _MOST_KEPT_BYTES and len(self._blobs) > 1:
            _, dropped = self._blobs.popitem(last=False)
            self._bytes -= len(dropped)

    def made(self, key: str, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            self._made.move_to_end(key)
            while len(self._made) > _MOST_MADE:
                self._made.popitem(last=False)
            found: T = self._made[key]
            return found


_kept = _Kept()


def run(call: Call) -> Answer:
    """Runs a task in this process, in one thread."""
    own = identity()
    if refused := own.differences(call.expected):
        return Answer(worker=worker_name(), refused=tuple(refused))
    found = _kept.found(call)
    if missing := tuple(digest for digest, data in found.items() if data is None):
        return Answer(worker=worker_name(), missing=missing)
    data = {digest: content for digest, content in found.items() if content is not None}
    began = time.perf_counter()
    with one_thread():
        arrays = call.task.work(Inputs(call.task.inputs, data), call.task.settings)
    return Answer(worker=worker_name(), arrays=arrays, seconds=time.perf_counter() - began)
