"""Several devices at once: the same work on each, and a row for each, whatever it came to.

What the work is, and how a device is reached, the caller says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_scnet.core.events import Events
from edge_scnet.errors import EdgeError, ExitCode, first_line
from edge_scnet.report.fleet import FleetDevice, FleetRow, row_of
from edge_scnet.report.fleet_table import outcome_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A device of a fleet."""

    name: str
    # where it is reached, for people
    host: str
    # devices that are one machine, as two power modes of a board, take turns
    machine: str


class Work(Protocol):
    """Does the work on one device."""

    async def __call__(self, member: Member, events: Events) -> Sequence[FleetRow]:
        """Works until it has ended, and returns a row for each report that came back.

        Raises:
            EdgeError: it failed.
        """


class Shown(Protocol):
    """Shows the progress of all devices."""

    def of(self, name: str) -> Events:
        """What one device's work is told to."""

    def ended(self, name: str, words: str) -> None:
        """A device came to an end."""


async def run_fleet(members: Sequence[Member], work: Work, *, shown: Shown) -> tuple[FleetRow, ...]:
    """Does the work on all devices at once, and returns their rows in the order they are in.

    A device that fails does not stop the others. Where this is cancelled, the work on each device
    is, and has ended when this ends.
    """
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(member.machine, []).append(member)
    rows: dict[str, Sequence[FleetRow]] = {}

    async def in_turn(group: list[Member]) -> None:
        for member in group:
            rows[member.name] = await _one(member, work, shown)

    tasks = [asyncio.ensure_future(in_turn(group)) for group in groups.values()]
    try:
        await asyncio.gather(*tasks)
    except asyncio.CancelledError:
        # the gather ends at once, while the tasks still leave their devices
        await asyncio.wait(tasks)
        raise
    return tuple(row for member in members for row in rows[member.name])


async def _one(member: Member, work: Work, shown: Shown) -> Sequence[FleetRow]:
    """A device's rows; what goes wrong on it is in one."""
    try:
        rows = await work(member, shown.of(member.name))
    except EdgeError as error:
        rows = [failed_row(member, error)]
    except Exception as error:
        # a bug on the way to one device must not lose what the others measured
        words = f"this is a bug: {type(error).__name__}: {first_line(error)}"
        hint = f"EDGE_SCNET_TRACEBACK=1, and --device {member.name} alone"
        rows = [ended_row(member, ExitCode.BUG, words, hint)]
    shown.ended(member.name, "; ".join(map(outcome_words, rows)))
    return rows


def failed_row(member: Member, error: EdgeError) -> FleetRow:
    """Returns the row of a device that failed."""
    return ended_row(member, error.exit_code, error.message, error.hint)


def ended_row(member: Member, code: int, error: str | None, hint: str | None) -> FleetRow:
    """Returns the row of a device that has no report."""
    device = FleetDevice(
        name=member.name, host=member.host, exit_code=int(code), error=error, hint=hint
    )
    return row_of(device, None)
