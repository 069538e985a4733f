"""Whatever a test has the tool print as JSON is held to its published schema."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema

from edge_scnet.cli.outputs import DOCUMENTS

PUBLISHED = Path(__file__).parents[2] / "docs" / "schemas"


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """The validator of a published schema."""
    return jsonschema.Draft202012Validator(json.loads((PUBLISHED / f"{name}.json").read_text()))


def check_printed(arguments: Sequence[str], stdout: str) -> None:
    """Holds what a command printed to the schema of its kind.

    Args:
        arguments: the command line.
    """
    asked = "--json" in arguments and not {"--help", "--schema"} & set(arguments)
    if not asked or (arguments[:1] == ["schema"] and len(arguments) > 2):
        return
    if not stdout:  # it is closed or full
        return
    content: Any = json.loads(stdout)
    document = DOCUMENTS[content["kind"]]
    assert list(content)[:2] == ["schema", "kind"] and content["schema"] == document.schema
    assert document.is_printed
    if content["kind"] != "report":  # of thousands of figures: see tests/cli/test_outputs.py
        validator(content["kind"]).validate(content)
