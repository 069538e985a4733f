"""The JSON Schema of report.json, made from the records.

`python -m edge_scnet.report.schema > edge_scnet/report/report.schema.json` renews the shipped file;
a test holds it to the records. Types and limits are the annotations, descriptions the docstrings of
the records and the `Meta(description=...)` of their fields.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from edge_scnet.report.run_report import RunReport

FILE = "report.schema.json"


def schema() -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) of a report as this version writes it."""
    (_, records) = msgspec.json.schema_components([RunReport], ref_template="#/$defs/{name}")
    for record in records.values():
        # lines of a docstring but the first are indented, before Python 3.13
        record["description"] = " ".join(record["description"].split())
    root = records.pop("RunReport")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "edge-scnet report",
        "$defs": dict(sorted(records.items())),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=1) + "\n")
