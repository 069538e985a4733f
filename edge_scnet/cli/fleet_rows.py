"""What came back from a device of a fleet, as its rows: reports, verdicts, or an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edge_scnet.core.manifest import PARTIAL_REPORT, REPORT
from edge_scnet.errors import ArtifactError, DeviceError, ExitCode, worst
from edge_scnet.pipeline.fleet import Member, ended_row, failed_row
from edge_scnet.report.fleet import FleetDevice, FleetRow, row_of
from edge_scnet.report.notes import environment_words

if TYPE_CHECKING:
    from edge_scnet.cli.device_asked import Asked
    from edge_scnet.cli.device_here import EndedHere
    from edge_scnet.cli.outputs.gate import CheckedReport
    from edge_scnet.devices.job import Done

    Ended = Done | EndedHere
    from edge_scnet.report.run_report import RunReport

T = TypeVar("T")

# Codes of verdicts; all others but 0 are faults.
_VERDICTS = range(ExitCode.ACCURACY, ExitCode.INCONCLUSIVE + 1)
_JUDGED = (ExitCode.OK, *_VERDICTS, ExitCode.INTERRUPTED)
_UNMEASURED = "interrupted before anything was measured"


def _fault(member: Member, done: Ended, told: Sequence[str]) -> FleetRow:
    """The row of a command that failed there, with what it said."""
    errors = [line.removeprefix("error: ") for line in told if line.startswith("error: ")]
    hints = [line.removeprefix("hint: ") for line in told if line.startswith("hint: ")]
    words = errors[0] if errors else f"it ended with exit code {done.exit_code}"
    return ended_row(member, done.exit_code, words, hints[-1] if hints else None)


def reports(
    member: Member, asked: Asked, done: Ended, printed: bytes, told: Sequence[str]
) -> Sequence[FleetRow]:
    """Returns a row for each report that `build` or `profile` made there."""
    if done.exit_code not in _JUDGED:
        return [_fault(member, done, told)]
    # only what came from there: a report of an earlier run may lie beside it
    folders = {path.parent: None for path in done.made if path.name in (REPORT, PARTIAL_REPORT)}
    if folders:
        return [_report_row(member, folder, done.exit_code) for folder in folders]
    if done.exit_code == ExitCode.INTERRUPTED:
        return [ended_row(member, done.exit_code, _UNMEASURED, None)]
    error = DeviceError(
        f"{member.host}: no report came back, though {asked.command} ended with exit code"
        f" {done.exit_code}",
        hint=f"run the same command with --device {member.name} alone, which shows what it prints",
    )
    return [failed_row(member, error)]


def _report_row(member: Member, folder: Path, code: int) -> FleetRow:
    from edge_scnet.report.store import load_report

    file = folder / REPORT
    if code == ExitCode.INTERRUPTED:
        file = folder / PARTIAL_REPORT
        if not file.exists():
            return ended_row(member, code, _UNMEASURED, None)
    try:
        return judged_row(member, folder, load_report(file), code, None)
    except ArtifactError as error:
        return failed_row(member, error)


def judged_row(
    member: Member, folder: Path, report: RunReport, code: int, headline: str | None
) -> FleetRow:
    """Returns the row of a report that lies in a folder here."""
    device = FleetDevice(
        name=member.name,
        host=member.host,
        exit_code=int(code),
        folder=_shown(folder),
        headline=headline,
    )
    return row_of(device, report)


def _shown(folder: Path) -> str:
    """A folder as it is shown: from the working directory where it lies in it."""
    try:
        return str(folder.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)


def checks(
    member: Member, asked: Asked, done: Ended, printed: bytes, told: Sequence[str]
) -> Sequence[FleetRow]:
    """Returns a row for each report that `check` held to the device's baseline there."""
    from edge_scnet.cli.outputs.gate import Checks

    found = _printed(member, Checks, printed)
    rows = () if found is None else found.reports
    # a code of its own is a fault behind the last report
    if not rows or worst(row.exit_code for row in rows) != done.exit_code:
        return [_fault(member, done, told)]
    return [_checked_row(member, row) for row in rows]


def _checked_row(member: Member, row: CheckedReport) -> FleetRow:
    from edge_scnet.report.store import load_report

    if row.error is not None or row.report is None:
        return ended_row(member, row.exit_code, row.error or row.headline, row.hint)
    file = Path(row.report)
    try:
        report = load_report(file)
    except ArtifactError as error:
        return failed_row(member, error)
    return judged_row(member, file.parent, report, row.exit_code, row.headline)


def doctors(
    member: Member, asked: Asked, done: Ended, printed: bytes, told: Sequence[str]
) -> Sequence[FleetRow]:
    """Returns what `doctor` found there."""
    from edge_scnet.cli.outputs.machine import Doctor

    found = _printed(member, Doctor, printed)
    if found is None:
        return [_fault(member, done, told)]
    packages = found.environment.get("packages", {})
    usable = [name for name, why in found.runtimes.items() if why is None]
    targets = sum(why is None for why in found.targets.values())
    device = FleetDevice(
        name=member.name,
        host=member.host,
        exit_code=done.exit_code,
        headline=f"{targets} of {len(found.targets)} targets can be built there",
    )
    words = (f"{name} {packages.get(name.replace('_', '-'), '')}".strip() for name in usable)
    return [
        FleetRow(
            device=device,
            machine=environment_words(found.environment),
            runtime=", ".join([f"edge-scnet {found.edge_scnet}", *words]),
        )
    ]


def _printed(member: Member, kind: type[T], printed: bytes) -> T | None:
    """What a command printed there as JSON; None: it failed, which is another object.

    Raises:
        DeviceError: it printed something else.
    """
    from edge_scnet.cli.outputs.failure import Failure
    from edge_scnet.core.json_records import convert, loads

    try:
        content = loads(bytes(printed))
        if isinstance(content, dict) and content.get("kind") == "failure":
            convert(Failure, content)
            return None
        return convert(kind, content)
    except ValueError as error:
        raise DeviceError(
            f"{member.host}: what edge-scnet printed there is not what this version reads: {error}",
            hint=f"edge-scnet doctor --device {member.name}",
        ) from error


Rows = Callable[..., Sequence[FleetRow]]
ROWS: Mapping[str, Rows] = {
    "build": reports,
    "profile": reports,
    "check": checks,
    "doctor": doctors,
}
