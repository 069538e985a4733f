"""The time as records hold it."""

from __future__ import annotations

import datetime


def now_utc() -> str:
    """Now, in UTC, to the second: 2026-01-31T12:00:00+00:00."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
