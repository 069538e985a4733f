"""JSON Schemas (2020-12) of records: types and limits are the annotations.

Descriptions are the docstrings of the records and the `Meta(description=...)` of their fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

_VERSION = "https://json-schema.org/draft/2020-12/schema"


def schema_of(
    records: Sequence[type],
    *,
    title: str,
    front: Mapping[str, Any],
    added: Mapping[str, Any] | None = None,
    forms: Mapping[str, Sequence[type]] | None = None,
) -> dict[str, Any]:
    """Returns the JSON Schema of an object that is one of the records, with further keys.

    Args:
        title: of the schema.
        front: the schemas of keys that come before the record's, or are added to those of its own.
        added: the types of keys that come after the record's.
        forms: by the name of a record the kinds of it that a field of that record can hold.

    Raises:
        TypeError: a field's type has no form in JSON.
    """
    added, forms = added or {}, forms or {}
    kinds = [*records, *added.values(), *(kind for kinds in forms.values() for kind in kinds)]
    shown, defined = msgspec.json.schema_components(
        kinds, ref_template="#/$defs/{name}", schema_hook=_hook
    )
    for record in defined.values():
        if "description" in record:
            # lines of a docstring but the first are indented, before Python 3.13
            record["description"] = " ".join(record["description"].split())
    after = dict(zip(added, shown[len(records) :], strict=False))
    roots = [_root(defined.pop(record.__name__), front, after) for record in records]
    for name, kinds_of_it in forms.items():
        known = [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds_of_it]
        defined[name] = {
            "title": name,
            "description": defined[name]["description"],
            "anyOf": [*known, {"type": "object", "maxProperties": 0}],
        }
    root = roots[0] if len(roots) == 1 else {"anyOf": roots}
    schema = {"$schema": _VERSION, **root, "title": title}
    return schema | ({"$defs": dict(sorted(defined.items()))} if defined else {})


def _root(
    record: dict[str, Any], front: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, Any]:
    own = record["properties"]
    before = {key: value for key, value in front.items() if key not in own}
    known = {key: {**value, **front.get(key, {})} for key, value in own.items()}
    return {
        **record,
        "properties": {**before, **known, **after},
        "required": [*before, *record["required"], *after],
    }


def _hook(kind: type) -> dict[str, Any]:
    """The schema of a type that is written as another: a path as a text."""
    if issubclass(kind, Path):
        return {"type": "string"}
    raise NotImplementedError
