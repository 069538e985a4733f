"""The schema number in front of a file."""

from __future__ import annotations

from typing import Any

import pytest

from edge_scnet.core.schema_number import check_schema
from edge_scnet.errors import ArtifactError


@pytest.mark.parametrize(
    ("found", "words", "is_newer"),
    [
        (3, "m.json has schema 3, this version reads 1 to 2", True),
        (0, "m.json has schema 0, this version reads 1 to 2", False),
        (None, "m.json has no schema number, this version reads 1 to 2", False),
        ("2", 'm.json has schema "2", this version reads 1 to 2', False),
        (True, "m.json has schema true, this version reads 1 to 2", False),
        (2.0, "m.json has schema 2.0, this version reads 1 to 2", False),
        ([2], "m.json has schema [2], this version reads 1 to 2", False),
    ],
)
def test_what_is_not_read_is_refused_with_what_is(found: Any, words: str, is_newer: bool) -> None:
    with pytest.raises(ArtifactError) as refused:
        check_schema("m.json", found, (1, 2), hint="build again")
    assert refused.value.message == words
    assert ("a newer edge-scnet is needed" in refused.value.hint) == is_newer
    assert is_newer or refused.value.hint == "build again"


def test_what_is_read_passes() -> None:
    for number in (1, 2):
        check_schema("m.json", number, (1, 2), hint="")
    with pytest.raises(ArtifactError, match=r"this version reads 1$"):
        check_schema("m.json", 2, (1,), hint="")
