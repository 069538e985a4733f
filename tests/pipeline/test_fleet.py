"""The same work on several devices: at once, in turn on one machine, and past what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from edge_scnet.cli.fleet_progress import FleetLines
from edge_scnet.core.events import Events
from edge_scnet.errors import BackendError
from edge_scnet.pipeline.fleet import Member, Work, run_fleet
from edge_scnet.report.fleet import FleetDevice, FleetRow, row_of
from tests.helpers.reports import full_report


def measured(member: Member) -> list[FleetRow]:
    return [row_of(FleetDevice(name=member.name, host=member.host, exit_code=0), full_report())]


def members(names: Sequence[str], machines: Sequence[str] = ()) -> list[Member]:
    return [
        Member(name=name, host=f"me@{name}", machine=machine)
        for name, machine in zip(names, machines or names, strict=True)
    ]


def run(work: Work, *names: str, machines: Sequence[str] = ()) -> tuple[FleetRow, ...]:
    return asyncio.run(run_fleet(members(names, machines), work, shown=FleetLines(names)))


def test_devices_work_at_the_same_time_and_rows_keep_the_order() -> None:
    here: list[str] = []

    async def work(member: Member, events: Events) -> Sequence[FleetRow]:
        events.stage("measure", member.name)
        here.append(member.name)
        while len(here) < 3:
            await asyncio.sleep(0.001)
        return measured(member)

    rows = run(work, "c", "a", "b")
    assert [row.device.name for row in rows] == ["c", "a", "b"]
    assert all(row.p50_ms is not None and row.device.exit_code == 0 for row in rows)


def test_two_devices_that_are_one_machine_take_turns() -> None:
    at_work: list[str] = []

    async def work(member: Member, events: Events) -> Sequence[FleetRow]:
        assert not at_work, "both at once"
        at_work.append(member.name)
        await asyncio.sleep(0.02)
        at_work.remove(member.name)
        return measured(member)

    rows = run(work, "orin-15w", "orin-maxn", machines=("orin:22", "orin:22"))
    assert [row.device.exit_code for row in rows] == [0, 0]


def test_what_fails_on_one_device_is_in_its_row_and_stops_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def work(member: Member, events: Events) -> Sequence[FleetRow]:
        if member.name == "gone":
            raise BackendError("gone does not answer", hint="ssh gone")
        if member.name == "odd":
            raise RuntimeError("no idea\nat all")
        await asyncio.sleep(0.02)
        return measured(member) * 2

    gone, odd, *good = run(work, "gone", "odd", "good")
    assert (gone.device.exit_code, gone.device.error) == (8, "gone does not answer")
    assert gone.device.hint == "ssh gone" and gone.p50_ms is None
    assert odd.device.exit_code == 1
    assert odd.device.error == "this is a bug: RuntimeError: no idea"
    assert [row.device.exit_code for row in good] == [0, 0], "a row for each report"
    assert "gone failed: gone does not answer" in capsys.readouterr().err


def test_what_is_cancelled_leaves_every_device_before_it_ends() -> None:
    left: list[str] = []

    async def work(member: Member, events: Events) -> Sequence[FleetRow]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)  # what leaving a device takes
            left.append(member.name)
            raise
        return measured(member)

    async def cancelled() -> None:
        fleet = members(["a", "b", "c"], ["a", "b", "a"])
        task = asyncio.ensure_future(run_fleet(fleet, work, shown=FleetLines([])))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(left) == ["a", "b"], "the third had not begun"

    asyncio.run(cancelled())
