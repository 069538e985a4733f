"""Baselines: the report that later ones are held to, as a committed file that detects manual edits.

A baseline is a report without its raw samples, the limits, and the reasons of whoever accepted a
loss. It is one JSON file, named after model and target, sealed by a hash of its content: an edit
goes through `update`, which shows what changes and asks for a reason where something gets worse.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from edge_scnet.config.target import Gates
from edge_scnet.core.clock import now_utc
from edge_scnet.core.files import write_text
from edge_scnet.core.json_records import convert, encode_pretty, read_json
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.gate import regression
from edge_scnet.report.run_report import (
    EngineReport,
    RunReport,
    accuracy_row,
    same_machine,
    timed_row,
)
from edge_scnet.report.store import upgraded
from edge_scnet.report.validate import check_values

SCHEMA = 2  # 2: a report of schema 3 and later in it; older ones are read
_READS = (1, SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A loss that somebody took on, and why."""

    date_utc: str
    reason: str
    losses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What later reports are held to."""

    report: RunReport  # raw samples left out
    limits: Gates
    accepted: tuple[Acceptance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of what an update changes."""

    what: str
    before: str
    after: str
    loss: str | None = None  # why it needs a reason


def file_of(baseline: Path, report: RunReport) -> Path:
    """Returns the baseline's file: itself, or `<model>-<target>.json` in a folder."""
    return (
        baseline
        if baseline.suffix == ".json"
        else baseline / f"{report.model}-{report.target}.json"
    )


def save(baseline: Baseline, path: Path) -> None:
    """Writes the file with its seal.

    Raises:
        StorageError: the folder cannot be written.
    """
    content = {"schema": SCHEMA, **msgspec.to_builtins(baseline)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, encode_pretty({"sha256": _seal(content), **content}))


def load(path: Path) -> Baseline:
    """Reads a baseline.

    Raises:
        ArtifactError: missing, no baseline, of another schema, or edited by hand.
    """
    update = (
        f"restore it: git checkout {path}; or remove it, and write it anew: edge-scnet baseline"
        " update REPORT"
    )
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"no baseline at {path}",
            hint=f"write one: edge-scnet baseline update REPORT --baseline {path}",
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not a baseline: {error}", hint=update) from error
    if not isinstance(content, dict) or "schema" not in content or "limits" not in content:
        raise ArtifactError(f"{path} is not a baseline: it lacks schema or limits", hint=update)
    if content["schema"] not in _READS:
        raise ArtifactError(
            f"{path} has schema {content['schema']}, this version reads {_READS[0]} to {SCHEMA}",
            hint=update,
        )
    if content.pop("sha256", None) != _seal(content):
        raise ArtifactError(
            f"{path} was edited by hand: its content has not the hash it says",
            hint=(
                f"git checkout {path}, or change it with a reason: edge-scnet baseline update"
                " REPORT --accept REASON"
            ),
        )
    try:
        baseline = convert(Baseline, {**content, "report": upgraded(content.get("report"))})
        check_values(baseline.report)
    except (ValueError, TargetError) as error:
        raise ArtifactError(f"{path} is incomplete: {error}", hint=update) from error
    return baseline


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def of_report(report: RunReport, limits: Gates, *, accepted: Sequence[Acceptance] = ()) -> Baseline:
    """Makes a baseline of what a report says.

    Raises:
        ArtifactError: there is nothing in it to hold others to, or it breaks the limits itself.
    """
    if not report.complete or report.quantization is None or report.provenance is None:
        raise ArtifactError(
            "a baseline needs a complete report of this version",
            hint="edge-scnet profile BUILD_FOLDER",
        )
    if accuracy_row(report) is None and timed_row(report) is None:
        raise ArtifactError(
            "the report holds no INT8 engine to hold others to",
            hint="edge-scnet profile BUILD_FOLDER",
        )
    rows = tuple(_lean(row) for row in report.engines if row.role != "default")
    # no raw times, and no pictures of somebody's images in a file that is committed
    lean = replace(
        report,
        engines=rows,
        findings=(),
        stage_seconds={},
        flips=None,
        sweep=(),
        sweep_load=None,
        load=None,
    )
    if broken := [
        finding
        for finding in regression.compare(report, lean, limits=limits)
        if finding.verdict == "fail"
    ]:
        raise ArtifactError(
            f"the limits contradict the report that the baseline is made of: {broken[0].metric}:"
            f" {broken[0].message}",
            hint=(
                "mend the engine, or set a limit that it keeps: --limit KEY=VALUE or the target's"
                " [gates]"
            ),
        )
    return Baseline(report=lean, limits=limits, accepted=tuple(accepted))


def _lean(row: EngineReport) -> EngineReport:
    return (
        row
        if row.latency is None
        else replace(row, latency=replace(row.latency, samples_ns=(), blocks=()))
    )


def changes(old: Baseline, new: Baseline) -> tuple[Change, ...]:
    """Returns what an update changes, losses first: each of them needs a reason.

    A loss is whatever `check` would not pass, a looser limit, and any figure that is worse beyond
    its noise: limits say how much one report may differ from its baseline, and must not be spent
    anew with every update.
    """
    lines = [
        Change(what=finding.metric, before="", after=finding.message, loss=finding.message)
        for finding in regression.compare(new.report, old.report, limits=old.limits)
        if finding.verdict in ("fail", "inconclusive")
    ]
    lines += [
        _limit_change(item.name, old.limits, new.limits)
        for item in fields(Gates)
        if _differs(item.name, old, new)
    ]
    lines += [change for change in _figures(old.report, new.report) if change is not None]
    if timed_row(old.report) is not None and not same_machine(old.report, new.report):
        lines.append(
            _change(
                "machine",
                "the baseline's",
                "another: speed and memory are held to nothing before",
                loss=True,
            )
        )
    lines += [
        Change(what="also", before="", after=words)
        for words in regression.changes(new.report, old.report)
    ]
    return tuple(sorted(lines, key=lambda change: change.loss is None))


# Worse by less is noise: of other CPUs' kernels for accuracy, of the machine for the rest (relative
# there).
_NOISE = {"top-1, %": 0.05, "agreement, %": 0.05, "SQNR, dB": 0.1}
_RELATIVE_NOISE = {
    "size, MB": 0.01,
    "speed, x": 0.03,
    "memory at load, MiB": 0.03,
    "memory steady, MiB": 0.03,
}
_LESS_IS_BETTER = frozenset({"size, MB", "memory at load, MiB", "memory steady, MiB"})
# Lower end of the speed's interval over its estimate; 0.98 to 0.99 on a quiet machine.
_STEADY = 0.95
_OF_THE_MACHINE = _RELATIVE_NOISE.keys() - {"size, MB"}


def _figures(old: RunReport, new: RunReport) -> Iterator[Change | None]:
    before, after = _figures_of(old), _figures_of(new)
    for what, value in before.items():
        # missing ones are findings already; another machine is a change of its own
        if what in after and (what not in _OF_THE_MACHINE or same_machine(old, new)):
            yield _figure(what, value, after[what])


def _figures_of(report: RunReport) -> dict[str, float]:
    """The figures that an update may make worse, by name; an exact SQNR is infinite."""
    figures: dict[str, float | None] = {}
    row, timed = accuracy_row(report), timed_row(report)
    if row is not None and row.accuracy is not None:
        stats = row.accuracy
        figures["top-1, %"] = stats.labels.top1_percent if stats.labels is not None else None
        figures["agreement, %"] = stats.agreement_percent
        figures["SQNR, dB"] = math.inf if stats.sqnr_db is None else stats.sqnr_db
    sized = timed or row
    figures["size, MB"] = sized.size_bytes / 1e6 if sized is not None else None
    if timed is not None:
        figures["speed, x"] = timed.speedup.ratio if timed.speedup is not None else None
        if timed.memory is not None:
            figures["memory at load, MiB"] = timed.memory.load_peak_bytes / 2**20
            figures["memory steady, MiB"] = timed.memory.steady_bytes / 2**20
    return {what: value for what, value in figures.items() if value is not None}


def _figure(what: str, before: float, after: float) -> Change | None:
    if before == after:
        return None
    worse = after - before if what in _LESS_IS_BETTER else before - after
    noise = _NOISE[what] if what in _NOISE else _RELATIVE_NOISE[what] * before
    words = ["exact" if math.isinf(value) else f"{value:.2f}" for value in (before, after)]
    return _change(what, *words, loss=worse > noise)


def doubt(report: RunReport) -> str | None:
    """Returns why a baseline of this report would hold speed to little; None where it would not.

    The lower end of the speed's interval is what later reports are held to.
    """
    row = timed_row(report)
    if (
        row is None
        or row.speedup is None
        or row.speedup.low is None
        or row.speedup.low >= _STEADY * row.speedup.ratio
    ):
        return None
    ratio = row.speedup
    spread = f"{ratio.ratio:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"
    return (
        f"the machine was busy: the speed is known as {spread}, and later reports are held to the"
        " lower end; profile it again when nothing else runs, with a longer --seconds"
    )


def _differs(name: str, old: Baseline, new: Baseline) -> bool:
    return bool(getattr(old.limits, name) != getattr(new.limits, name))


def _limit_change(name: str, old: Gates, new: Gates) -> Change:
    before, after = getattr(old, name), getattr(new, name)
    least = name.startswith("min_")
    looser = after is None or (before is not None and (after < before if least else after > before))
    return _change(f"limit {name}", str(before), str(after), loss=looser)


def _change(what: str, before: str, after: str, *, loss: bool) -> Change:
    return Change(
        what=what, before=before, after=after, loss=f"{what}: {before} -> {after}" if loss else None
    )


def update(
    path: Path, report: RunReport, limits: Gates, *, accept: str | None
) -> tuple[Change, ...]:
    """Writes a baseline, or renews the one that is there.

    Returns:
        What changed; nothing for a new one.

    Raises:
        ArtifactError: the bar would be lowered and no reason was given; or as `load` and
            `of_report`.
    """
    if not path.exists():
        save(of_report(report, limits), path)
        return ()
    old = load(path)
    if (old.report.model, old.report.target) != (report.model, report.target):
        raise ArtifactError(
            f"{path} is the baseline of {old.report.model} for {old.report.target}, the report is"
            f" of {report.model} for {report.target}",
            hint=f"name its own: --baseline {path.parent / f'{report.model}-{report.target}.json'}",
        )
    new = of_report(report, limits, accepted=old.accepted)
    differences = changes(old, new)
    losses = tuple(change.loss for change in differences if change.loss is not None)
    if losses and not (accept or "").strip():
        shown = "".join(f"\n  {loss}" for loss in losses[:8])
        raise ArtifactError(
            f"{path} would be lowered:{shown}",
            hint='if that is meant, say why: --accept "REASON" (kept in the file)',
        )
    if losses:
        now = now_utc()
        new = replace(
            new,
            accepted=(
                *old.accepted,
                Acceptance(date_utc=now, reason=str(accept).strip(), losses=losses),
            ),
        )
    save(new, path)
    return differences
