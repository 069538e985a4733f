"""Where tasks are computed: processes of this machine, Dask's or Ray's workers, or the user's own.

What opens one yields it with what is known of it; whoever sends tasks sees an `Executor` alone.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from edge_scnet.core.optional import require
from edge_scnet.core.user_code import OBJECT, imported, user_code
from edge_scnet.errors import BackendError, TargetError, first_line
from edge_scnet.scale.identity import Identity, identity
from edge_scnet.scale.processes import Processes
from edge_scnet.scale.ray import connected

_CONNECT_S, _ASK_AGAIN_S = 20, 0.5
_DASK = re.compile(r"(tcp|tls)://[^/\s]+:\d+")
_RAY = re.compile(r"ray(://[^/\s]+:\d+)?")
_MOST_PROCESSES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Who computes what can be shared; one of the first two."""

    processes: Annotated[int | None, Meta(description="of this machine, each with one thread")] = (
        None
    )
    scheduler: Annotated[
        str | Executor | None,
        Meta(
            description="a Dask scheduler, tls://host:8786 or tcp://host:8786; Ray, ray or"
            " ray://host:10001; or package.module:function, which returns a"
            " concurrent.futures.Executor, or that itself"
        ),
    ] = None
    store: Annotated[
        Path | None,
        Meta(description="a folder that all machines see under this path: inputs and results"),
    ] = None

    def __post_init__(self) -> None:
        if (self.processes is None) == (self.scheduler is None):
            raise TargetError(
                "tasks are computed by processes of this machine or by a scheduler's workers: one"
                " of --workers and --scheduler is needed, and --store comes on top",
                hint="edge-scnet sensitivity --workers 2",
            )
        if self.processes is not None and not 1 <= self.processes <= _MOST_PROCESSES:
            raise TargetError(
                f"--workers is {self.processes}; allowed: 1 to {_MOST_PROCESSES}",
                hint="as many as there are cores: nproc",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An executor, and what is known of its workers."""

    executor: Executor
    # of all workers
    identity: Identity
    # whether workers see the files of this machine
    local: bool
    # the workers' names at present; none where they cannot be asked
    names: Callable[[], frozenset[str]] = frozenset
    words: str
    # how many there are; 0: not known
    count: int = 0


@contextlib.contextmanager
def opened(workers: Workers) -> Iterator[Opened]:
    """Opens an executor, and ends it with what is on its way.

    Raises:
        MissingRuntimeError: Dask, or Ray, is not installed here.
        BackendError: nobody answers, or workers differ from each other or from this machine's
            versions.
        TargetError: an address of another form.
    """
    if workers.processes is not None:
        pool: Executor = Processes(workers.processes)
        words = f"{workers.processes} process{'es' if workers.processes > 1 else ''}"
        with _ended(pool):
            yield Opened(
                executor=pool, identity=identity(), local=True, words=words, count=workers.processes
            )
        return
    scheduler = workers.scheduler
    if isinstance(scheduler, str) and _DASK.fullmatch(scheduler):
        with _dask(scheduler) as found:
            yield found
        return
    if isinstance(scheduler, str) and _RAY.fullmatch(scheduler):
        with connected(scheduler) as (executor, answers, count):
            yield Opened(
                executor=executor,
                identity=_alike(_usable(answers)),
                local=False,
                words=f"{count} workers of {scheduler}",
                count=count,
            )
        return
    own = scheduler if isinstance(scheduler, Executor) else _of_user(str(scheduler))
    with _ended(own) if isinstance(scheduler, str) else contextlib.nullcontext():
        of_one: Identity = own.submit(identity).result()
        yield Opened(
            executor=own,
            identity=_alike({type(own).__name__: of_one}),
            local=False,
            words=type(own).__name__,
        )


@contextlib.contextmanager
def _ended(executor: Executor) -> Iterator[None]:
    """Shuts an executor down at the end, and what it still works on at once."""
    try:
        yield
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Opened]:
    """The workers of a Dask scheduler; certificates for tls:// are those of Dask's own settings."""
    distributed = require("distributed", extra="cluster")
    dask = require("dask", extra="cluster")
    try:
        # inputs are sent by the task that lacks them: one warning for each would be noise
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"})
        security = (
            distributed.Security(require_encryption=True) if address.startswith("tls:") else None
        )
        client = distributed.Client(
            address, security=security, timeout=_CONNECT_S, set_as_default=False
        )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise BackendError(
            f"no connection to the scheduler {address}: {error or type(error).__name__}",
            hint=_tls_hint(address),
        ) from error
    with client:
        found = _ask_all(client, address)
        yield Opened(
            executor=client.get_executor(pure=False),
            identity=_alike(found),
            local=False,
            names=lambda: _names(client),
            words=f"{len(found)} workers of {address}",
            count=len(found),
        )


def _names(client: Any) -> frozenset[str]:
    """The workers at present; none while the scheduler is gone, or slow to answer."""
    if client.status != "running":  # to ask would take as long as the client tries to come back
        return frozenset()
    return frozenset(client.scheduler_info(n_workers=-1).get("workers", ()))


def _ask_all(client: Any, address: str) -> dict[str, Identity]:
    """What each worker computes with, by its address.

    Raises:
        BackendError: there is none, or one cannot import this package.
    """
    until = time.monotonic() + _CONNECT_S
    while True:
        answers: dict[str, Any] = client.run(identity, on_error="return")
        # one that died meanwhile is none of them; each task asks its worker again
        found = {name: each for name, each in answers.items() if not isinstance(each, OSError)}
        if found or time.monotonic() > until:
            break
        time.sleep(_ASK_AGAIN_S)  # they may just be starting
    if not found:
        raise BackendError(
            f"the scheduler {address} has no workers, and none came within {_CONNECT_S} s",
            hint=f"dask worker {address} --nthreads 1 --nworkers auto",
        )
    return _usable(found)


def _usable(answers: dict[str, Any]) -> dict[str, Identity]:
    """What workers compute with, by the worker's name.

    Args:
        answers: what they said, or the exceptions that they raised instead.

    Raises:
        BackendError: one cannot import this package.
    """
    for name, answer in sorted(answers.items()):
        if not isinstance(answer, Identity):
            raise BackendError(
                f"the worker {name} cannot be used: {type(answer).__name__}: {first_line(answer)}",
                hint="install edge-scnet there, in the version that is here: edge-scnet --version",
            )
    return dict(sorted(answers.items()))


def _alike(found: dict[str, Identity]) -> Identity:
    """What all workers compute with; refuses those that would compute other bits than the others.

    Raises:
        BackendError: names the worker, what it has, and what is expected.
    """
    here, first = identity(), next(iter(found.values()))
    for name, other in found.items():
        expected = Identity(
            versions=here.versions,
            code=here.code,
            architecture=first.architecture,
            features=first.features,
        )
        if differences := other.differences(expected):
            raise BackendError(refusal(name, differences), hint=REFUSAL_HINT)
    return first


REFUSAL_HINT = (
    "all workers need the versions that are here (pip freeze), the same source of edge-scnet, and"
    " one kind of processor: start workers of one kind alone"
)


def refusal(worker: str, differences: list[str] | tuple[str, ...]) -> str:
    """What is said of a worker that would compute other bits."""
    return f"the worker {worker} would compute other bits: {'; '.join(differences)}"


def _of_user(name: str) -> Executor:
    """What a function of the user's returns.

    Raises:
        TargetError: it is none of the forms, or returns no executor.
    """
    form = OBJECT.fullmatch(name)
    if form is None or form[3]:
        raise TargetError(
            f"--scheduler is {name!r}; allowed: tls://host:port, tcp://host:port, ray,"
            " ray://host:port, or package.module:function, which returns a"
            " concurrent.futures.Executor",
            hint="edge-scnet sensitivity --scheduler tcp://127.0.0.1:8786",
        )
    function = imported(form[1], form[2], raises=TargetError)
    hint = f"python -c 'import {form[1]}; print({form[1]}.{form[2]}())'"
    with user_code(f"--scheduler {name} failed", hint=hint, raises=TargetError):
        made = function()
    if not isinstance(made, Executor):
        raise TargetError(
            f"--scheduler {name} returns {type(made).__name__}; allowed: a"
            " concurrent.futures.Executor",
            hint=hint,
        )
    return made


def _tls_hint(address: str) -> str:
    if address.startswith("tls:"):
        return (
            "certificates are Dask's settings: DASK_DISTRIBUTED__COMM__TLS__CA_FILE=ca.pem and"
            " ..__TLS__CLIENT__CERT and ..__TLS__CLIENT__KEY, or ~/.config/dask/*.yaml"
        )
    return f"dask scheduler --port {address.rsplit(':', 1)[1]}"
