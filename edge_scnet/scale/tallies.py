"""What workers have done and what was lost with them, for the line at the end of a stage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Tally:
    """What one worker did."""

    tasks: int = 0
    images: int = 0
    seconds: float = 0.0


class Tallies:
    """Counts until they are told, and then begins anew."""

    def __init__(self) -> None:
        """Nothing was done yet."""
        self._of: dict[str, _Tally] = {}
        self._reused = self._lost = 0
        self._lost_s = 0.0

    @property
    def busy_s(self) -> float:
        """The seconds that workers have worked on tasks."""
        return sum(tally.seconds for tally in self._of.values())

    def add(self, worker: str, images: int, seconds: float) -> None:
        """Counts a task that a worker has done."""
        tally = self._of.setdefault(worker, _Tally())
        tally.tasks += 1
        tally.images += images
        tally.seconds += seconds

    def add_reused(self) -> None:
        """Counts a task whose result was there."""
        self._reused += 1

    def add_lost(self, seconds: float) -> None:
        """Counts a worker that is gone.

        Args:
            seconds: that it had worked on its task; 0: not known.
        """
        self._lost += 1
        self._lost_s += seconds

    def told(self) -> str:
        """What was counted, in words; empty: nothing."""
        parts = []
        if self._of:
            tasks = sum(tally.tasks for tally in self._of.values())
            parts.append(f"{counted(tasks, 'task')} by {counted(len(self._of), 'worker')}")
        rates = sorted((t.images / t.seconds, name) for name, t in self._of.items() if t.seconds)
        if rates and rates[-1][0]:
            parts.append(_rates(rates))
        if self._reused:
            parts.append(f"{counted(self._reused, 'task')} known from before")
        if self._lost:
            # Dask and Ray do not tell how long a worker that is gone had worked
            cost = f", {self._lost_s:.1f} s of work" if self._lost_s else ""
            parts.append(f"{counted(self._lost, 'worker')} lost{cost}")
        self._of, self._reused, self._lost, self._lost_s = {}, 0, 0, 0.0
        return "; ".join(parts)


def counted(count: int, noun: str) -> str:
    """A number and what it counts, as in "1 task", "1,024 tasks"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _rates(rates: list[tuple[float, str]]) -> str:
    """The images a second of the slowest and of the fastest worker; of unlike ones by name.

    Args:
        rates: by worker, the slowest first.
    """
    (slowest, slow), (fastest, fast) = rates[0], rates[-1]
    if f"{slowest:,.0f}" == f"{fastest:,.0f}":
        return f"{fastest:,.0f} images/s" + (" each" if len(rates) > 1 else "")
    return f"{slowest:,.0f} ({slow}) to {fastest:,.0f} ({fast}) images/s each"
