"""The schema number in front of a file: whether this version can read the rest."""

from __future__ import annotations

from collections.abc import Sequence

from edge_scnet.core.json_records import show
from edge_scnet.core.optional import another_version_hint
from edge_scnet.errors import ArtifactError


def check_schema(where: object, found: object, reads: Sequence[int], *, hint: str) -> None:
    """Refuses a file whose schema number is not known: its fields may mean something else.

    Args:
        where: the file, as messages name it.
        found: what it says its number is.
        reads: the numbers that are read, in order.
        hint: how to come by another file. Of a newer one it is said how to come by a newer tool.

    Raises:
        ArtifactError: names the file, its number, and those that are read.
    """
    is_number = isinstance(found, int) and not isinstance(found, bool)
    if is_number and found in reads:
        return
    known = str(reads[0]) if len(reads) == 1 else f"{reads[0]} to {reads[-1]}"
    has = "has no schema number" if found is None else f"has schema {show(found)}"
    is_newer = isinstance(found, int) and found > reads[-1]
    raise ArtifactError(
        f"{where} {has}, this version reads {known}",
        hint=another_version_hint() if is_newer else hint,
    )
