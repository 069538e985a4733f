"""Several builds of one plan, timed against each other: by Python, or else by trtexec."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_scnet.errors import BackendError, TargetError
from edge_scnet.runtimes.base import OpenOptions, Runtime
from edge_scnet.runtimes.in_turn import time_ratio
from edge_scnet.runtimes.tensorrt.trtexec import (
    ROUNDS,
    TrtexecError,
    check_round,
    parse_log,
    parse_times,
    run_trtexec,
    timing_options,
    version_told_by,
)
from edge_scnet.stats.figures import RatioStats
from edge_scnet.stats.timing import paired_ratio

_ROUND_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """What times plans here."""

    # in words
    name: str
    # The time of each plan over the first one's; of the first None.
    ratios: Callable[[Sequence[Path]], list[RatioStats | None]]


def timer_for(runtime: Runtime, builds: int) -> Timer:
    """What times the builds of a plan on this machine, before anything is built.

    Raises:
        TargetError: nothing can: of several builds nobody could tell which is the fastest.
    """
    if not runtime.takes_cuda_graph:
        raise TargetError(
            f"--builds {builds} is for TensorRT's plans: {runtime.title} builds the same each time",
            hint="leave --builds out",
        )
    if not runtime.builds_here():
        raise TargetError(
            f"--builds {builds}: the plans are built on their board, not here",
            hint=f"on the board: edge-scnet compile bundle.tar.gz --builds {builds}",
        )
    reason = runtime.unavailable_to_run()
    if reason is None:
        return Timer(name=f"{runtime.title}, by Python", ratios=lambda plans: _here(runtime, plans))
    program = runtime.timing_program()
    if program is None:
        raise TargetError(
            f"--builds {builds}: nothing here can time the plans ({reason}), so that of several"
            " builds nobody could tell which is the fastest",
            hint=(
                "leave --builds out; or on a board: sudo apt install libnvinfer-bin, which brings"
                " trtexec"
                if runtime.packs_bundle
                else "leave --builds out, or build where a GPU is: edge-scnet doctor"
            ),
        )
    version, built = _version(program), runtime.versions().get(runtime.title)
    if version is None or (built or "").split(".")[:3] != version.split(".")[:3]:
        raise TargetError(
            f"--builds {builds}: the plans are built by TensorRT {built or '?'}, and {program}, of"
            f" {version or 'a version that it does not tell'}, cannot load them",
            hint="leave --builds out, or name the other trtexec: TRTEXEC=PATH",
        )
    return Timer(
        name=f"trtexec {version}", ratios=lambda plans: _by_trtexec(program, version, plans)
    )


def _version(program: Path) -> str | None:
    try:
        return version_told_by(program)
    except OSError:
        return None


def _here(runtime: Runtime, plans: Sequence[Path]) -> list[RatioStats | None]:
    """The first plan stays open beside each other, so that no more than two are in memory."""
    ratios: list[RatioStats | None] = [None]
    with runtime.open(plans[0], OpenOptions()) as first:
        data = np.zeros(first.input_shape, np.float32)
        has_graph = first.record_graph() is None
        for plan in plans[1:]:
            with runtime.open(plan, OpenOptions()) as other:
                graph = has_graph and other.record_graph() is None
                ratios.append(time_ratio(other, first, data, graph=graph))
    return ratios


def _by_trtexec(program: Path, version: str, plans: Sequence[Path]) -> list[RatioStats | None]:
    """Rounds of runs of trtexec, the plans in another order each round.

    Raises:
        BackendError: it fails, or gives no figures.
    """
    options = timing_options(version, seconds=_ROUND_S)
    blocks: list[list[tuple[int, ...]]] = [[] for _ in plans]
    for number in range(ROUNDS):
        for i in range(len(plans))[:: -1 if number % 2 else 1]:
            blocks[i].append(_timed(program, plans[i], options))
    return [paired_ratio(own, blocks[0]) if i else None for i, own in enumerate(blocks)]


def _timed(program: Path, plan: Path, options: Sequence[str]) -> tuple[int, ...]:
    """Run times of a plan in ns, by one run of trtexec."""
    times, log = plan.with_suffix(".times.json"), plan.with_suffix(".times.log")
    try:
        run_trtexec(program, [f"--loadEngine={plan}", *options, f"--exportTimes={times}"], log)
        read = parse_times(times.read_text(encoding="utf-8", errors="replace"))
        check_round(parse_log(log.read_text(encoding="utf-8", errors="replace")), read)
    except TrtexecError as error:
        raise BackendError(f"trtexec cannot time {plan.name}: {error.words}") from error
    except (OSError, ValueError) as error:
        raise BackendError(f"trtexec gives no times of {plan.name}: {error}") from error
    finally:
        for file in (times, log):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
    return read
