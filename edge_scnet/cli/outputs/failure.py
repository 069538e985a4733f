"""What is printed where a command fails."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error, as stderr tells it too."""

    error: str
    # a command or an option that helps
    hint: str | None
    # of the process
    exit_code: int
