"""Report.json."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from edge_scnet.core.files import write_text
from edge_scnet.core.json_records import convert, read_json
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.report.run_report import SCHEMA, RunReport
from edge_scnet.report.validate import check_values

# What a schema adds has defaults, so that older files are read. 2: steadiness, intervals of p90 and
# p99, blocks, settings, end to end, growth of memory, calibration error, outputs, the machine's
# load, sweep, flipped images, class names.
_READS = (1, 2)


def save_report(report: RunReport, path: Path) -> None:
    """Writes the report as JSON.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_text(path, to_json(report) + "\n")


def to_json(report: RunReport) -> str:
    return json.dumps(asdict(report), indent=1, allow_nan=False)


def load_report(path: Path) -> RunReport:
    """Reads what `save_report` wrote.

    Raises:
        ArtifactError: not such a file, of another schema, or with values that cannot be.
    """
    try:
        content = read_json(path)
        schema = content["schema"]
        if schema not in _READS:
            newer = isinstance(schema, int) and schema > SCHEMA
            raise ArtifactError(
                f"{path} has schema {schema}, this version reads {_READS[0]} to {SCHEMA}",
                hint=(
                    "pip install --upgrade edge-scnet"
                    if newer
                    else "edge-scnet profile BUILD_FOLDER"
                ),
            )
        report = replace(convert(RunReport, content), schema=SCHEMA)
        check_values(report)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"no report at {path}", hint="make one: edge-scnet profile BUILD_FOLDER"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TargetError) as error:
        raise ArtifactError(
            f"{path} is not a report: {error}", hint="make one: edge-scnet profile BUILD_FOLDER"
        ) from error
    return report
