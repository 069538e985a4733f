"""Sends tasks to the workers of an executor, and gives their results in the order of the tasks.

Nothing here depends on how many workers there are, who computes what, or what comes back first. A
task whose worker dies is sent again, and a result that is in the folder of results is not computed
again.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from edge_scnet.core.events import Events
from edge_scnet.core.files import check_folder
from edge_scnet.errors import BackendError
from edge_scnet.scale.executors import REFUSAL_HINT, Opened, Workers, opened, refusal
from edge_scnet.scale.processes import WorkerLostError
from edge_scnet.scale.store import Arrays, Blobs, Results
from edge_scnet.scale.tallies import Tallies, counted
from edge_scnet.scale.task import Answer, Call, Task, run

# Times that a task may lose its worker.
_MOST_LOST = 3
# A larger result, such as maps of images, is not kept for later runs.
_MOST_KEPT_BYTES = 16 << 20
_LOOK_EVERY_S = 2.0
# After how long without any worker that is told, and after how long nobody waits any more: a nanny
# starts a new one within seconds, and Dask's client tells of none while its scheduler is busy.
_ALONE_TOLD_S, _ALONE_S = 6.0, 60.0
# Dask's word for a task whose workers died one after the other.
_KILLED = "KilledWorker"
_AGAIN_HINT = "run it again when there are workers: finished tasks are reused"


@dataclass(slots=True)
class _Sent:
    """A task on its way."""

    index: int
    task: Task
    key: str
    lost: int = 0
    # inputs that workers have asked for, sent with it from then on
    given: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """Tasks on their way, and the results that are there."""

    results: dict[int, Arrays] = field(default_factory=dict)
    sent: dict[Future[Answer], _Sent] = field(default_factory=dict)
    count: int = 0
    images: int = 0
    images_done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where inputs and results are kept."""

    blobs: Blobs
    results: Results
    # whether the workers see the inputs' folder, and whether it is this run's alone
    shared: bool
    own: bool


class Pool:
    """Computes tasks by an executor's workers."""

    def __init__(self, found: Opened, folders: Folders, events: Events) -> None:
        """Sends nothing yet.

        Args:
            found: the executor.
            folders: of inputs and results.
        """
        self._found, self._events = found, events
        self._blobs, self._results = folders.blobs, folders.results
        self._store = folders.blobs.folder if folders.shared else None
        self._own_inputs = folders.own
        # how often an input was given to `blob`: equal ones are one file
        self._wanted: Counter[str] = Counter()
        self._tallies = Tallies()
        self._names = found.names()
        self._looked = time.monotonic()
        self.keeps_results = False
        # since when nobody is there, and whether that was told
        self._alone: float | None = None
        self._alone_told = False

    @property
    def width(self) -> int:
        """How many tasks should be on their way so that no worker waits."""
        return max(self._found.count, len(self._names), 2)

    @property
    def busy_s(self) -> float:
        """The seconds that workers have worked on tasks since `told` was last asked."""
        return self._tallies.busy_s

    @property
    def words(self) -> str:
        """Who computes, as in "2 processes"."""
        return self._found.words

    def blob(self, data: bytes) -> str:
        """Keeps an input for the workers, and returns its hash.

        Raises:
            StorageError: the folder cannot be written.
        """
        digest = self._blobs.put(data)
        self._wanted[digest] += 1
        return digest

    def forget(self, digest: str) -> None:
        """Takes back one `blob` of an input; after the last the input is removed.

        From a shared folder nothing is removed.

        Raises:
            StorageError: it cannot be removed.
        """
        self._wanted[digest] -= 1
        if self._own_inputs and self._wanted[digest] == 0:
            self._blobs.remove(digest)

    def keep_results(self) -> None:
        """Leaves what is finished for a later run: this one ends early, and not by an error."""
        self.keeps_results = True

    def give_up(self, batch: Batch) -> None:
        """Takes back tasks that no worker has begun."""
        for future in batch.sent:
            future.cancel()

    def start(self, tasks: Iterable[Task]) -> Batch:
        """Sends tasks as they come; those whose result is known are not sent."""
        batch = Batch()
        for task in tasks:
            self._add(batch, task)
        return batch

    def finish(
        self, batch: Batch, what: str = "", ran: Callable[[int], None] | None = None
    ) -> list[Arrays]:
        """Waits for the results, in the order of the tasks.

        Args:
            what: is done, for progress; empty: none is shown.
            ran: called with the number of images that are done, where others show the progress.

        Raises:
            BackendError: a worker that differs from the others; a task that lost its worker again
                and again; or nobody is there who could compute.
            EdgeError: what a task raised.
        """
        while batch.sent:
            self._wait(batch)
            if ran is not None:
                ran(batch.images_done)
            elif what and batch.images:
                share = batch.images_done / batch.images
                self._events.progress(what, share, batch.images_done, "images")
            elif what:
                self._events.progress(what, len(batch.results) / batch.count)
        return [batch.results[index] for index in range(batch.count)]

    def run(self, tasks: Iterable[Task], what: str = "") -> list[Arrays]:
        """The results of tasks, in their order; as `start` and `finish`."""
        return self.finish(self.start(tasks), what)

    def in_turn(self, tasks: Iterable[Task]) -> Iterator[Arrays]:
        """Yields the results of tasks in their order; only some are on their way at a time.

        For results that are too large to be held all at once, or tasks that are not yet there.

        Raises:
            EdgeError: as `finish`.
        """
        batch, taken = Batch(), 0
        for task in tasks:
            self._add(batch, task)
            if batch.count - taken > 2 * self.width:
                yield self._next(batch, taken)
                taken += 1
            elif batch.sent:
                # a worker that has asked for an input waits for it
                self._wait(batch, seconds=0)
        for index in range(taken, batch.count):
            yield self._next(batch, index)

    def told(self) -> str:
        """What the workers have done since this was last asked, for the end of a stage."""
        return self._tallies.told()

    def _next(self, batch: Batch, index: int) -> Arrays:
        """Takes a result out of a batch when it is there."""
        while index not in batch.results:
            self._wait(batch)
        return batch.results.pop(index)

    def _wait(self, batch: Batch, seconds: float | None = None) -> None:
        """Waits until a task of a batch is answered, at most so long, and takes what there is."""
        most = _LOOK_EVERY_S if seconds is None else seconds
        done, _ = wait(batch.sent, timeout=most, return_when=FIRST_COMPLETED)
        for future in done:
            self._take(batch, batch.sent.pop(future), future)
        self._look_for_lost()

    def _add(self, batch: Batch, task: Task) -> None:
        """Sends a task as the next of a batch, unless its result is known."""
        sent = _Sent(batch.count, task, task.key(self._found.identity))
        batch.count += 1
        batch.images += task.images
        if task.keep and (known := self._results.get(sent.key)) is not None:
            self._tallies.add_reused()
            batch.results[sent.index] = known
            batch.images_done += task.images
        else:
            self._send(batch, sent)

    def _send(self, batch: Batch, sent: _Sent) -> None:
        call = Call(
            task=sent.task, expected=self._found.identity, store=self._store, given=sent.given
        )
        try:
            future = self._found.executor.submit(run, call)
        except Exception as error:  # each executor has its own for being broken or closed
            raise BackendError(
                f"{self._found.words}: no task can be sent: {type(error).__name__}: {error}",
                hint=_AGAIN_HINT,
            ) from error
        batch.sent[future] = sent

    def _input(self, digest: str) -> bytes:
        data = self._blobs.get(digest)
        if data is None:
            raise BackendError(
                f"the input {digest} is no longer in {self._blobs.folder}, or is damaged",
                hint="run it again: finished tasks are reused",
            )
        return data

    def _take(self, batch: Batch, sent: _Sent, future: Future[Answer]) -> None:
        """Takes an answer, or sends the task again."""
        try:
            answer = future.result()
        except BrokenExecutor as error:
            self._again(batch, sent, error)
            return
        except CancelledError as error:  # Dask's client lost its scheduler
            raise BackendError(
                f"{self._found.words}: the connection is lost, and with it what was on its way",
                hint=_AGAIN_HINT,
            ) from error
        except Exception as error:
            if type(error).__name__ != _KILLED:
                raise
            raise _hopeless(sent, str(error)) from error
        if answer.refused:
            raise BackendError(refusal(answer.worker, answer.refused), hint=REFUSAL_HINT)
        if answer.missing:
            sent.given |= {digest: self._input(digest) for digest in answer.missing}
            self._send(batch, sent)
            return
        assert answer.arrays is not None
        small = sum(array.nbytes for array in answer.arrays.values()) <= _MOST_KEPT_BYTES
        if sent.task.keep and small:
            self._results.put(sent.key, answer.arrays)
        batch.results[sent.index] = answer.arrays
        batch.images_done += sent.task.images
        self._tallies.add(answer.worker, sent.task.images, answer.seconds)

    def _again(self, batch: Batch, sent: _Sent, error: BrokenExecutor) -> None:
        """Sends a task again whose worker has died."""
        sent.lost += 1
        seconds = error.seconds if isinstance(error, WorkerLostError) else 0.0
        self._tallies.add_lost(seconds)
        if sent.lost >= _MOST_LOST:
            raise _hopeless(sent, str(error)) from error
        images = f" of {counted(sent.task.images, 'image')}" if sent.task.images else ""
        cost = f", {seconds:.1f} s of work," if seconds else ""
        self._events.warn(f"{error or 'a worker died'}: its task{images}{cost} is done again")
        self._send(batch, sent)

    def _look_for_lost(self) -> None:
        """Tells of workers that are gone, where the scheduler knows; it sends their tasks again.

        Raises:
            BackendError: none has been there for a minute.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY_S or not self._names:
            return
        self._looked = now
        names = self._found.names()
        if not names:
            self._wait_for_workers(now)
            return
        self._alone, self._alone_told = None, False
        for gone in sorted(self._names - names):
            self._tallies.add_lost(0.0)
            self._events.warn(
                f"the worker {gone} is gone: what it worked on, at most one task a thread, is done"
                f" again by {counted(len(names), 'other')}"
            )
        self._names = names

    def _wait_for_workers(self, now: float) -> None:
        """Bears with a scheduler without workers for a while.

        Raises:
            BackendError: that was long enough.
        """
        if self._alone is None:
            self._alone = now
        elif now - self._alone > _ALONE_S:
            raise BackendError(
                f"{self._found.words}: for {_ALONE_S:.0f} s none has been there", hint=_AGAIN_HINT
            )
        elif now - self._alone > _ALONE_TOLD_S and not self._alone_told:
            self._alone_told = True
            self._events.warn(
                f"{self._found.words}: none is left; others are waited for, at most"
                f" {_ALONE_S:.0f} s"
            )


def _hopeless(sent: _Sent, reason: str) -> BackendError:
    return BackendError(
        f"a task of {sent.task.work.__name__} lost its worker {_MOST_LOST} times: {reason}",
        hint="a worker may be out of memory: free -h; smaller: fewer workers on a machine",
    )


@contextlib.contextmanager
def open_pool(workers: Workers, kept: Path, events: Events) -> Iterator[Pool]:
    """The workers, ready for tasks; what they still work on at the end is given up.

    Args:
        kept: the folder of results where no `--store` is; a run that ends well removes it.

    Raises:
        EdgeError: as `executors.opened`.
        StorageError: `kept` is a link, or no folder.
    """
    with contextlib.ExitStack() as stack:
        if workers.store is None:
            inputs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            results = Results(kept)
            check_folder(kept)
        else:
            inputs, results = workers.store / "inputs", Results(workers.store / "results")
        found = stack.enter_context(opened(workers))
        folders = Folders(
            blobs=Blobs(inputs),
            results=results,
            shared=found.local or workers.store is not None,
            own=workers.store is None,
        )
        pool = Pool(found, folders, events)
        yield pool
    if workers.store is None and not pool.keeps_results:
        # what was to be made of them is there
        shutil.rmtree(kept, ignore_errors=True)


def with_workers(words: str, pool: Pool | None) -> str:
    """What a stage made, and behind it what workers did for it."""
    told = "" if pool is None else pool.told()
    return f"{words}; {told}" if told else words
