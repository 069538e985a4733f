"""What `jobs` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class JobShown:
    """A job on a device."""

    id: str
    # lost: it was killed, or the device was switched off meanwhile
    state: Literal["running", "waiting", "ended", "lost"]
    # None: it has not ended
    exit_code: int | None
    since_utc: str
    # on the device's disk
    size_bytes: int
    # user@machine that called it; None, as the next two: it is of another version
    owner: str | None
    command: str | None
    # where it was called, and where what it makes comes back
    folder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """The jobs on a device that run, or have ended and were not brought back."""

    device: str
    jobs: tuple[JobShown, ...]
