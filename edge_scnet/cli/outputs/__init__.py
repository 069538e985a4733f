"""Every JSON object that the tool prints or keeps: its schema number and the record it is made of.

`docs/reference/reports.md` lists them for users. What is printed says its number and its kind; a
file says its number, and its kind by its name. The schemas are made from the same records as the
objects, so that they cannot say anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, get_type_hints

from edge_scnet.cli.printer import say_json
from edge_scnet.core.json_records import encode_pretty


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One kind of JSON object."""

    schema: int
    # its record's module and class; with a space between them: one of these
    record: str
    # what prints it, or the file's name
    where: str
    # False: a file, which is not printed
    is_printed: bool = True
    # properties of the record that are keys too
    properties: tuple[str, ...] = ()
    # whether a file begins with a hash of its content
    has_hash: bool = False


_HERE = "edge_scnet.cli.outputs"
DOCUMENTS: dict[str, Document] = {
    "report": Document(
        schema=3,
        record="edge_scnet.report.run_report:RunReport",
        where="report.json; build, profile, report",
    ),
    "files": Document(
        schema=1,
        record=f"{_HERE}.build:Files",
        where="export, calibrate, quantize, compile",
    ),
    "sensitivity": Document(
        schema=2,
        record="edge_scnet.sensitivity.result:SearchResult",
        where="sensitivity",
        properties=("pareto",),
    ),
    "together": Document(
        schema=1,
        record="edge_scnet.pipeline.together:TimedTogether",
        where="profile --interleave",
    ),
    "inspect": Document(schema=1, record="edge_scnet.pipeline.inspect:Inspected", where="inspect"),
    "predict": Document(schema=1, record=f"{_HERE}.predict:Predictions", where="predict"),
    "package": Document(schema=1, record="edge_scnet.pipeline.package:Packaged", where="package"),
    "check": Document(schema=1, record=f"{_HERE}.gate:Checks", where="check"),
    "baseline-update": Document(schema=1, record=f"{_HERE}.gate:Updates", where="baseline update"),
    "verify": Document(schema=1, record=f"{_HERE}.gate:Verified", where="verify"),
    "compare": Document(schema=1, record=f"{_HERE}.compare:Comparisons", where="compare"),
    "data-check": Document(
        schema=1,
        record="edge_scnet.pipeline.data_check:DataCheck",
        where="data check",
        properties=("exit_code",),
    ),
    "init": Document(schema=1, record="edge_scnet.pipeline.init:Initialized", where="init"),
    "show": Document(schema=1, record=f"{_HERE}.project:Resolved", where="show"),
    "targets": Document(schema=1, record=f"{_HERE}.machine:Targets", where="targets"),
    "doctor": Document(schema=1, record=f"{_HERE}.machine:Doctor", where="doctor"),
    "jobs": Document(schema=1, record=f"{_HERE}.jobs:Jobs", where="jobs"),
    "fleet": Document(
        schema=1,
        record="edge_scnet.report.fleet:Fleet",
        where="profile, build, check, doctor with several devices",
        properties=("exit_code",),
    ),
    "schemas": Document(schema=1, record=f"{_HERE}.schemas:Schemas", where="schema"),
    "failure": Document(
        schema=1, record=f"{_HERE}.failure:Failure", where="any command that fails"
    ),
    "manifest": Document(
        schema=3,
        record="edge_scnet.core.manifest:Manifest",
        where="manifest.json",
        is_printed=False,
    ),
    "baseline": Document(
        schema=2,
        record="edge_scnet.gate.baseline:Baseline",
        where="a baseline's file",
        is_printed=False,
        has_hash=True,
    ),
    "sensitivity-file": Document(
        schema=3,
        record="edge_scnet.sensitivity.state:Searched edge_scnet.sensitivity.state:Measured",
        where="sensitivity.json",
        is_printed=False,
    ),
    "bundle": Document(
        schema=2,
        record="edge_scnet.compile.bundle:BundleHeader",
        where="bundle.json in bundle.tar.gz",
        is_printed=False,
    ),
    "board": Document(
        schema=1,
        record="edge_scnet.runtimes.tensorrt.board_json:BoardJson",
        where="board.json, which build.sh writes",
        is_printed=False,
    ),
}


def show(kind: str, record: Any) -> None:
    """Prints a result as JSON.

    Args:
        kind: of `DOCUMENTS`.
        record: of that kind's class.

    Raises:
        StorageError: stdout takes no more.
    """
    document = DOCUMENTS[kind]
    content = {field.name: getattr(record, field.name) for field in fields(record)}
    content |= {name: getattr(record, name) for name in document.properties}
    say_json(encode_pretty({"schema": document.schema, "kind": kind, **content}))


def schema_of_kind(kind: str) -> dict[str, Any]:
    """Returns the JSON Schema of a kind of `DOCUMENTS`."""
    from edge_scnet.core import facts
    from edge_scnet.core.json_schema import schema_of

    document = DOCUMENTS[kind]
    records = [_loaded(name) for name in document.record.split()]
    front: dict[str, Any] = {"sha256": {"type": "string"}} if document.has_hash else {}
    front["schema"] = {"enum": [document.schema]}
    if document.is_printed:
        front["kind"] = {"enum": [kind]}
    return schema_of(
        records,
        title=f"edge-scnet {kind}",
        front=front,
        added={
            name: get_type_hints(getattr(records[0], name).fget)["return"]
            for name in document.properties
        },
        forms={"Facts": facts.KINDS} if kind in ("files", "manifest") else {},
    )


def schema_text(kind: str) -> str:
    """Returns the JSON Schema of a kind of `DOCUMENTS` as text, a newline at its end."""
    return encode_pretty(schema_of_kind(kind))


def _loaded(name: str) -> type:
    module, _, record = name.partition(":")
    found: type = getattr(import_module(module), record)
    return found
