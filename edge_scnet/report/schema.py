"""The JSON Schema of report.json, made from the records: `python -m edge_scnet.report.schema >
edge_scnet/report/report.schema.json`.

Types are the annotations; descriptions are the classes' docstrings and the comments behind the
fields, read from the source, so that nothing is written twice. A test holds the shipped file to the
records.
"""

from __future__ import annotations

import inspect
import io
import json
import sys
import tokenize
import types
import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin

from edge_scnet.report.run_report import SCHEMA, RunReport

FILE = "report.schema.json"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a report as this version writes it."""
    definitions: dict[str, Any] = {}
    root = _record(RunReport, definitions)
    root["properties"]["schema"] = {
        "const": SCHEMA,
        "description": "version; older ones are read, newer ones refused",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edge-scnet report",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, comments = typing.get_type_hints(kind), {**_comments(kind), **_descriptions(kind)}
    properties = {}
    for field in fields(kind):
        properties[field.name] = _type(hints[field.name], definitions)
        if comment := comments.get(field.name):
            properties[field.name]["description"] = comment
    return {
        "type": "object",
        "description": " ".join(str(kind.__doc__).split()),
        "properties": properties,
        "required": [field.name for field in fields(kind) if _needed(field)],
    }


def _needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _type(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(arm, definitions) for arm in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], definitions)}
    if kind is type(None):
        return {"type": "null"}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if is_dataclass(kind):
        name = kind.__name__  # type: ignore[union-attr]
        if name not in definitions:
            definitions[name] = {}  # a record that holds itself would never end
            definitions[name] = _record(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    return {}  # Any, object


def _descriptions(kind: Any) -> dict[str, str]:
    """The descriptions in the annotations of a record's fields."""
    return {
        name: meta.description
        for name, hint in typing.get_type_hints(kind, include_extras=True).items()
        for meta in getattr(hint, "__metadata__", ())
        if meta.description
    }


def _comments(kind: Any) -> dict[str, str]:
    """What stands behind the fields of a record's class, by field."""
    found, name = {}, ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(kind)).readline):
        if token.type == tokenize.NAME and token.start[1] == 4:
            name = token.string
        if token.type == tokenize.COMMENT and name and token.line.strip() != token.string:
            found[name] = token.string.lstrip("# ")
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=1) + "\n")
