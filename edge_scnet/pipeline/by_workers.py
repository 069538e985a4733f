"""Accuracy of engines by workers: who may run them, found out before anything is timed."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.events import Events
from edge_scnet.errors import BackendError, DataError, MissingRuntimeError
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.shared import check_shareable, check_workers, is_shareable
from edge_scnet.scale.executors import Workers
from edge_scnet.scale.pool import Pool, open_pool

if TYPE_CHECKING:
    from edge_scnet.pipeline.judging import Judging
    from edge_scnet.profiler.process import EngineFile

# In a build folder, what workers have done of a run that did not end well.
TASKS = ".tasks"


@contextlib.contextmanager
def judged_by(
    workers: Workers | None,
    judging: Judging | None,
    engines: Sequence[EngineFile],
    kept: Path | None,
    events: Events,
) -> Iterator[Judging | None]:
    """What engines are judged by, with workers that run them; as it is where there are none.

    Args:
        kept: the folder of results; None: there is none that may be written into.

    Raises:
        TargetError: an engine is a plan, which no worker can run.
        DataError: there are no samples that workers could run.
        BackendError: workers cannot be reached, or are other machines than this one.
        MissingRuntimeError: they lack the runtime.
    """
    if workers is None:
        yield judging
        return
    check_shareable({engine.path: engine.runtime for engine in engines})
    if judging is None:
        raise DataError(
            "workers find the accuracy of engines, and there are no evaluation samples",
            hint="name them: --eval SAMPLES; or leave --workers, --scheduler and --store out",
        )
    with contextlib.ExitStack() as stack:
        folder = kept or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pool = stack.enter_context(open_pool(workers, folder, events))
        check_workers(pool, [engine.runtime for engine in engines])
        yield replace(judging, pool=pool)


def pool_for(runtime: str, pool: Pool | None, events: Events) -> Pool | None:
    """The workers of a build where they may run its engines, too.

    Where they may not, which is told, they still calibrate: that needs no machine like this one.

    Args:
        runtime: the name of the engines'.
    """
    if pool is None or not is_shareable(runtime_named(runtime)):
        return None
    try:
        check_workers(pool, [runtime])
    except (BackendError, MissingRuntimeError) as error:
        events.warn(f"the accuracy of engines is measured here: {error.message}")
        return None
    return pool
