"""The loop of a recovery: steps, looks at the watched samples, checkpoints, and its end.

All parameters learn at once (Adam), at rates by their kind. What is kept is the state with the
least noise on samples that it does not learn from.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.machine.linux import usable_cores
from edge_scnet.recovery.checkpoint import Checkpoint, Progress
from edge_scnet.recovery.distill import Distiller
from edge_scnet.recovery.learnable import LearnableGraph
from edge_scnet.recovery.schedule import Schedule

# By kind of parameter: codes per step, shares of a scale, codes, shares of a layer's size.
RATES = {
    "weight": 5e-3,
    "weight_scale": 2.5e-4,
    "scale": 2.5e-4,
    "zero_point": 0.0125,
    "bias": 2.5e-4,
}
# The noise over signal (22 dB) that they were found at. With less noise they are lower, as its
# square root is: a percent of a scale is much in a network that has lost a percent in all.
_NOISE_OF_RATES = 10**-2.2
# How often the watched samples are looked at, and the most of the time that may take.
_LOOKS, _LOOKING_SHARE = 20, 0.1
# Before the steps are planned.
_TIMED_STEPS = 3

Ended = Literal["finished", "time", "not finite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """What came out of a recovery."""

    # with the least noise on the watched samples; None: none had less than at the start
    state: dict[str, Tensor] | None
    steps: int
    planned: int
    # noise over signal of the watched samples, as PyTorch simulates it
    noise_before: float
    noise_after: float
    ended: Ended
    # of all its runs
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a recovery may take."""

    # of `time.monotonic`
    started: float
    # of all runs together, where it is interrupted
    seconds: float
    # a plan of so many steps; None: as many as the time allows
    steps: int | None = None


class _Run:
    """A recovery while it runs."""

    def __init__(self, distiller: Distiller, budget: Budget, checkpoint: Checkpoint) -> None:
        self.distiller, self.budget, self.checkpoint = distiller, budget, checkpoint
        self.student = distiller.student
        started = time.monotonic()
        noise = distiller.noise()
        self.looking_s = time.monotonic() - started
        self.optimizer = _optimizer(self.student, noise)
        found = checkpoint.read(self.student.state(), self.optimizer)
        if found is None:
            steps = budget.steps or 0
            schedule = Schedule(
                increment=1.0 / steps if steps else 0.0, every=max(steps // _LOOKS, 1)
            )
            self.progress = Progress(schedule=schedule, noise_before=noise, best_noise=noise)
        else:
            self.progress, state = found
            self.student.restore(state)
        self.earlier_s, self.looked_at = self.progress.seconds, self.progress.schedule.step

    @property
    def seconds(self) -> float:
        """What all runs have taken."""
        return self.earlier_s + time.monotonic() - self.budget.started

    @property
    def seconds_left(self) -> float:
        """What is left for steps, the last look being taken off."""
        return self.budget.seconds - self.seconds - self.looking_s

    def step(self) -> float:
        """Takes one step; returns the seconds that it took, NaN where it was not finite."""
        started, schedule = time.monotonic(), self.progress.schedule
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * schedule.rate
        self.optimizer.zero_grad()
        if not math.isfinite(self.distiller.learn(schedule.step)):
            return math.nan
        self.optimizer.step()
        schedule.advance()
        return time.monotonic() - started

    def look(self) -> None:
        """Looks at the watched samples, keeps what is better, and writes the checkpoint."""
        noise, progress = self.distiller.noise(), self.progress
        if noise < progress.best_noise:
            progress.best_noise, progress.best = noise, self.student.state()
        progress.seconds = self.seconds
        self.checkpoint.write(progress, self.student.state(), self.optimizer)
        self.looked_at = progress.schedule.step

    def plan(self, step_s: float) -> None:
        """Plans the steps, and how often the watched samples are looked at."""
        schedule = self.progress.schedule
        is_first = schedule.increment <= 0
        if self.budget.steps is None:
            schedule.plan(self.seconds_left, step_s * (1.0 + _LOOKING_SHARE))
        if is_first:
            often = math.ceil(self.looking_s / (_LOOKING_SHARE * max(step_s, 1e-9)))
            schedule.every = max(schedule.planned // _LOOKS, often, 1)

    def distilled(self, ended: Ended) -> Distilled:
        """What came out of it."""
        progress = self.progress
        return Distilled(
            state=progress.best,
            steps=progress.schedule.step,
            planned=progress.schedule.planned,
            noise_before=progress.noise_before,
            noise_after=progress.best_noise,
            ended=ended,
            seconds=self.seconds,
        )


def distill(
    distiller: Distiller,
    budget: Budget,
    checkpoint: Checkpoint,
    *,
    progress: Callable[[float, int], None] = lambda share, steps: None,
) -> Distilled:
    """Learns until the plan or the time is over; goes on from a checkpoint.

    The same plan of steps and looks, seed, threads and versions give the same result, interrupted
    or not; how many steps are planned depends on the machine's speed, and a plan is made shorter
    where the time gets short.

    Args:
        distiller: the graphs and the samples.
        budget: of time, or of steps.
        checkpoint: read at the start, and written at every look at the watched samples.
        progress: called with the share of the plan that is done, and the steps.

    Raises:
        StorageError: the checkpoint cannot be written.
    """
    with _deterministic():
        run = _Run(distiller, budget, checkpoint)
        schedule, taken = run.progress.schedule, list[float]()
        ended: Ended = "finished"
        while not schedule.is_over:
            if run.seconds_left <= 0:
                ended = "time"
                break
            step_s = run.step()
            if math.isnan(step_s):
                ended = "not finite"
                break
            taken.append(step_s)
            progress(schedule.progress, schedule.step)
            if len(taken) == _TIMED_STEPS and schedule.increment <= 0:
                run.plan(min(taken))
            elif schedule.step - run.looked_at >= schedule.every and schedule.increment > 0:
                lately = taken[-schedule.every :]
                run.look()
                run.plan(sum(lately) / len(lately))
        if ended != "not finite" and schedule.step > run.looked_at:
            run.look()
        return run.distilled(ended)


def _optimizer(student: LearnableGraph, noise: float) -> torch.optim.Optimizer:
    share = min(1.0, math.sqrt(noise / _NOISE_OF_RATES))
    groups = [
        {"params": list(members.values()), "rate": share * RATES[kind], "lr": 0.0}
        for kind, members in student.parameters.items()
        if members
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99))


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """Has PyTorch compute the same twice, on the cores that may be used."""
    settings: Any = torch.utils.deterministic  # its stubs do not know the setting
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    filled = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(mode=True)
    settings.fill_uninitialized_memory = False
    torch.set_num_threads(usable_cores())
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filled
        torch.set_num_threads(threads)
