"""report.json: written, and read in this version's schema and in older ones."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_scnet.core.files import write_text
from edge_scnet.core.foreign import exists, reason
from edge_scnet.core.json_records import convert, encode_pretty, read_json
from edge_scnet.core.manifest import MANIFEST, REPORT
from edge_scnet.core.schema_number import check_schema
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.report.run_report import SCHEMA, RunReport
from edge_scnet.report.validate import check_values

# What schema 2 added has defaults: steadiness, intervals of p90 and p99, blocks, settings, end to
# end, growth of memory, calibration error, outputs, the machine's load, sweep, flipped images,
# class names. Schema 3: a row's role, a finding's kind, figures that need labels in a record.
_READS = (1, 2, SCHEMA)
_MOST_NAMED = 3  # build folders in a hint
_LABELLED = (
    "top1_percent",
    "top5_percent",
    "reference_top1_percent",
    "lost",
    "won",
    "drop_pp",
    "drop_low_pp",
    "drop_high_pp",
    "drop_lower95_pp",
    "drop_upper95_pp",
    "mcnemar_p",
    "ece_percent",
    "reference_ece_percent",
)


def save_report(report: RunReport, path: Path) -> None:
    """Writes the report as JSON.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_text(path, to_json(report))


def to_json(report: RunReport) -> str:
    """Returns the text of report.json, a newline at its end."""
    return encode_pretty(report)


def load_report(path: Path) -> RunReport:
    """Reads what `save_report` of this or an older version wrote.

    Raises:
        ArtifactError: not such a file, of another schema, or with values that cannot be.
    """
    try:
        content = read_json(path)
        check_schema(path, content["schema"], _READS, hint=profile_command(path))
        return report_from_json(content)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"no report at {path}",
            hint=_reports_below(path) or f"make one: {profile_command(path)}",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, TargetError) as error:
        raise ArtifactError(
            f"{path} is not a report: {reason(error)}",
            hint=f"make one: {profile_command(path)}",
        ) from error


def _reports_below(path: Path) -> str | None:
    """Which build folders have reports where the folder above them was named, as `build`."""
    if path.name != REPORT or not exists(path.parent):
        return None
    pattern = (f"*/{REPORT}", f"*/*/{REPORT}")
    found = itertools.chain.from_iterable(map(path.parent.glob, pattern))
    named = [str(file.parent) for file in itertools.islice(found, _MOST_NAMED)]
    return f"name a build folder: {', '.join(named)}" if named else None


def profile_command(path: Path) -> str:
    """The command that makes a report anew; its folder is named where it is a build folder."""
    folder = path.parent
    is_build = exists(folder / MANIFEST)
    return f"edge-scnet profile {shlex.quote(str(folder)) if is_build else 'BUILD_FOLDER'}"


def report_from_json(content: Any) -> RunReport:
    """Returns the report of JSON's values, of any schema that is read.

    Raises:
        ValueError: names the field that is missing or wrong.
        TargetError: the limits cannot be.
    """
    report = convert(RunReport, upgraded(content))
    check_values(report)
    return report


def upgraded(content: Any) -> Any:
    """Returns an older report's JSON as this version would have written it.

    What does not look like a report stays as it is: decoding it names the fault.
    """
    if not isinstance(content, dict) or content.get("schema") not in _READS[:-1]:
        return content
    return {
        **content,
        "schema": SCHEMA,
        "engines": _each(_upgraded_engine, content.get("engines")),
        "findings": _each(_upgraded_finding, content.get("findings")),
    }


def _each(upgrade: Callable[[dict[str, Any]], dict[str, Any]], rows: Any) -> Any:
    if not isinstance(rows, list):
        return rows
    return [upgrade(row) if isinstance(row, dict) else row for row in rows]


def _upgraded_engine(row: dict[str, Any]) -> dict[str, Any]:
    name = str(row.get("name"))
    role = "int8" if name.startswith("int8") else "default" if name == "default" else "reference"
    accuracy = row.get("accuracy")
    if isinstance(accuracy, dict):
        accuracy = _upgraded_accuracy(accuracy)
    return {**row, "role": role, "accuracy": accuracy}


def _upgraded_accuracy(accuracy: dict[str, Any]) -> dict[str, Any]:
    labels = {key: accuracy[key] for key in _LABELLED if key in accuracy}
    rest = {key: value for key, value in accuracy.items() if key not in labels}
    unlabelled = all(value is None for value in labels.values())
    return {**rest, "labels": None if unlabelled else labels}


def _upgraded_finding(finding: dict[str, Any]) -> dict[str, Any]:
    return {**finding, "kind": "speed" if finding.get("metric") == "speed" else "accuracy"}
