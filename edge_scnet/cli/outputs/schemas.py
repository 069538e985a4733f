"""What `schema` prints where no name is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSchema:
    """A kind of JSON object."""

    name: str
    # its number today
    number: int
    # what prints it, or the file's name
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schemas:
    """All kinds of JSON objects that the tool prints or keeps."""

    schemas: tuple[ListedSchema, ...]
