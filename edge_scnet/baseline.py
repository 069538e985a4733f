"""Baselines: the report that later ones are held to, as a committed file that shows when a hand has been at it.

A baseline is a report without its raw samples, the limits, and the reasons of whoever accepted a loss. It is one JSON file,
named after model and target, sealed by a hash of its content: an edit goes through `update`, which shows what changes and asks
for a reason where something gets worse.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from edge_scnet import regression
from edge_scnet.artifact import record_from_json, write_text
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.report import EngineReport, RunReport, refuse_constant
from edge_scnet.target import Gates

SCHEMA = 1
# A loss below this is the noise of another CPU's kernels, not a lowered bar.
_SQNR_NOISE_DB = 0.1


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
    """The baseline's file: itself, or `<model>-<target>.json` in a folder."""
    return baseline if baseline.suffix == ".json" else baseline / f"{report.model}-{report.target}.json"


def save(baseline: Baseline, path: Path) -> None:
    """Writes the file with its seal.

    Raises:
        StorageError: the folder cannot be written.
    """
    content = json.loads(json.dumps({"schema": SCHEMA, **asdict(baseline)}, allow_nan=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"sha256": _seal(content), **content}, indent=1) + "\n")


def load(path: Path) -> Baseline:
    """Reads a baseline.

    Raises:
        ArtifactError: missing, no baseline, of another schema, or edited by hand.
    """
    update = "write it anew: edge-scnet baseline update REPORT --baseline FILE"
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"no baseline at {path}", hint=f"write one: edge-scnet baseline update REPORT --baseline {path}"
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not a baseline: {error}", hint=update) from error
    if not isinstance(content, dict) or "schema" not in content or "limits" not in content:
        raise ArtifactError(f"{path} is not a baseline: it lacks schema or limits", hint=update)
    if content["schema"] != SCHEMA:
        raise ArtifactError(f"{path} has schema {content['schema']}, this version reads {SCHEMA}", hint=update)
    if content.pop("sha256", None) != _seal(content):
        raise ArtifactError(
            f"{path} was edited by hand: its content has not the hash it says",
            hint=f"git checkout {path}, or change it with a reason: edge-scnet baseline update REPORT --accept REASON",
        )
    try:
        found: Baseline = record_from_json(Baseline, content)
    except (KeyError, TypeError, AttributeError, TargetError) as error:
        raise ArtifactError(f"{path} is incomplete: {error}", hint=update) from error
    return found


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def of_report(report: RunReport, limits: Gates, accepted: Sequence[Acceptance] = ()) -> Baseline:
    """A baseline of what a report says.

    Raises:
        ArtifactError: there is nothing in it to hold others to, or it breaks the limits itself.
    """
    if not report.complete or report.quantization is None or report.provenance is None:
        raise ArtifactError("a baseline needs a complete report of this version", hint="edge-scnet profile BUILD_FOLDER")
    rows = tuple(_lean(row) for row in report.engines if row.name != "default")
    lean = replace(report, engines=rows, findings=(), stage_seconds={})
    made = Baseline(report=lean, limits=limits, accepted=tuple(accepted))
    if broken := [f for f in regression.compare(report, lean, limits) if f.verdict == "fail"]:
        raise ArtifactError(
            f"the limits contradict the report that the baseline is made of: {broken[0].metric}: {broken[0].message}",
            hint="mend the engine, or set a limit that it keeps: --limit KEY=VALUE or the target's [gates]",
        )
    return made


def _lean(row: EngineReport) -> EngineReport:
    return row if row.latency is None else replace(row, latency=replace(row.latency, samples_ns=()))


def changes(old: Baseline, new: Baseline) -> tuple[Change, ...]:
    """What an update changes, worst first: losses need a reason."""
    found = [
        Change(what=finding.metric, before="", after=finding.message, loss=finding.message)
        for finding in regression.compare(new.report, old.report, old.limits)
        if finding.verdict in ("fail", "inconclusive")
    ]
    found += [_limit_change(item.name, old.limits, new.limits) for item in fields(Gates) if _differs(item.name, old, new)]
    row, known = regression.accuracy_row(new.report), regression.accuracy_row(old.report)
    if row is not None and known is not None and row.accuracy is not None and known.accuracy is not None:
        before, after = known.accuracy.sqnr_db, row.accuracy.sqnr_db
        if before != after:
            lost = after is not None and (before is None or before - after > _SQNR_NOISE_DB)
            found.append(_change("SQNR, dB", _db(before), _db(after), loss=lost))
        found += _figure("top-1, %", known.accuracy.top1_percent, row.accuracy.top1_percent)
        found += _figure("agreement, %", known.accuracy.agreement_percent, row.accuracy.agreement_percent)
    timed, before_timed = regression.timed_row(new.report), regression.timed_row(old.report)
    if timed is not None and before_timed is not None and timed.speedup is not None and before_timed.speedup is not None:
        found += _figure("speed, x", before_timed.speedup.ratio, timed.speedup.ratio)
    found += [Change(what="also", before="", after=words) for words in regression.changes(new.report, old.report)]
    return tuple(sorted(found, key=lambda change: change.loss is None))


def _differs(name: str, old: Baseline, new: Baseline) -> bool:
    return bool(getattr(old.limits, name) != getattr(new.limits, name))


def _limit_change(name: str, old: Gates, new: Gates) -> Change:
    before, after = getattr(old, name), getattr(new, name)
    least = name.startswith("min_")
    looser = after is None or (before is not None and (after < before if least else after > before))
    return _change(f"limit {name}", str(before), str(after), loss=looser)


def _figure(what: str, before: float | None, after: float | None) -> list[Change]:
    if before == after or before is None or after is None:
        return []
    return [_change(what, f"{before:.2f}", f"{after:.2f}", loss=False)]


def _change(what: str, before: str, after: str, *, loss: bool) -> Change:
    return Change(what=what, before=before, after=after, loss=f"{what}: {before} -> {after}" if loss else None)


def _db(value: float | None) -> str:
    return "exact" if value is None else f"{value:.2f}"


def update(path: Path, report: RunReport, limits: Gates, *, accept: str | None) -> tuple[Change, ...]:
    """Writes a baseline, or renews the one that is there; the changes.

    Raises:
        ArtifactError: the bar would be lowered and no reason was given; or as `load` and `of_report`.
    """
    if not path.exists():
        save(of_report(report, limits), path)
        return ()
    old = load(path)
    if (old.report.model, old.report.target) != (report.model, report.target):
        raise ArtifactError(
            f"{path} is the baseline of {old.report.model} for {old.report.target}, the report is of {report.model} for "
            f"{report.target}",
            hint=f"name its own: --baseline {path.parent / f'{report.model}-{report.target}.json'}",
        )
    new = of_report(report, limits, old.accepted)
    found = changes(old, new)
    losses = tuple(change.loss for change in found if change.loss is not None)
    if losses and not (accept or "").strip():
        shown = "".join(f"\n  {loss}" for loss in losses[:8])
        raise ArtifactError(
            f"{path} would be lowered:{shown}", hint='if that is meant, say why: --accept "REASON" (kept in the file)'
        )
    if losses:
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        new = replace(new, accepted=(*old.accepted, Acceptance(date_utc=now, reason=str(accept).strip(), losses=losses)))
    save(new, path)
    return found
