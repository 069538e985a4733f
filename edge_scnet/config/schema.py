"""TOML to records: what is misspelt, missing or not allowed is told by its key.

The annotations of a record are its schema: the type, what `msgspec.Meta` allows, and `Literal`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from edge_scnet.core.foreign import control_character, read_text, reason
from edge_scnet.core.json_records import (
    MOST_DIGITS,
    RecordError,
    check_nesting,
    convert,
    field_types,
    record_type,
)
from edge_scnet.errors import TargetError, first_line

T = TypeVar("T")

_MOST_BYTES = 1 << 20

Filled = Annotated[str, Meta(pattern=r"\S", extra={"rule": "it must not be empty"})]
VersionText = Annotated[
    str,
    Meta(pattern=r"^\d+(\.\d+){0,3}$", extra={"rule": 'it must be a version like "10.3"'}),
]


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        TargetError: the file cannot be read, or is not TOML.
    """
    try:
        # with or without a byte-order mark, which editors on Windows write
        text = read_text(path, most_bytes=_MOST_BYTES, encoding="utf-8-sig")
        table: dict[str, Any] = msgspec.toml.decode(text)
        check_nesting(table)
    except OSError as error:
        raise TargetError(f"cannot read {path}: {reason(error)}", hint=f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise TargetError(
            f"{path}: not UTF-8 text (byte {error.start})",
            hint=f"iconv -f latin1 -t utf-8 {path}",
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise TargetError(
            f"{path}: not valid TOML: {first_line(error).partition('; use sys.')[0]}",
            hint=f"mend that line, then: edge-scnet verify {path}",
        ) from error
    except RecursionError as error:
        raise TargetError(
            f"{path}: not valid TOML: it is nested too deeply",
            hint=f"mend it, then: edge-scnet verify {path}",
        ) from error
    _check_plain(table, "", path)
    return table


def _check_plain(value: Any, key: str, path: Path) -> None:
    """Refuses what TOML has and no key of ours takes.

    Raises:
        TargetError: names the key.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_plain(name, f"a key under {key}" if key else "a key", path)
            _check_plain(inner, f"{key}.{name}" if key else str(name), path)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            _check_plain(inner, f"{key}[{i}]", path)
    elif problem := _problem(value):
        raise TargetError(
            f"{path}: {key} {problem}", hint=f"mend that key, then: edge-scnet verify {path}"
        )


def _problem(value: Any) -> str | None:
    """What no key of ours takes in a single value; None: nothing."""
    if isinstance(value, str):
        strange = control_character(value)
        return f"holds the control character {strange}" if strange else None
    if isinstance(value, int):
        is_short = abs(value) < 10**MOST_DIGITS
        return None if is_short else f"has more than {MOST_DIGITS} digits"
    if not isinstance(value, float):
        return f"is a {type(value).__name__}, which no key takes"
    return None if math.isfinite(value) else f"is {value}; a number is needed"


def read_table(kind: type[T], table: dict[str, Any], *, prefix: str = "") -> T:
    """Makes a record of a TOML table that has the record's fields as its keys, and no others.

    Args:
        prefix: the path of the table in its file, which messages put in front of its keys.

    Raises:
        TargetError: names the key, what was found and what is allowed.
    """
    _refuse_unknown_keys(kind, table, prefix, root=kind)
    try:
        return convert(kind, table, path=prefix)
    except RecordError as error:
        raise _target_error(error) from None


def check_values(record: Any) -> None:
    """Holds the values of a record to its annotations, for its `__post_init__`.

    Whole numbers become floats where floats belong: 99 and 99.0 are one setting, also when hashed.

    Raises:
        TargetError: names the field, what was found and what is allowed.
    """
    for name, kind in field_types(type(record)).items():
        try:
            object.__setattr__(record, name, convert(kind, getattr(record, name), path=name))
        except RecordError as error:
            raise _target_error(error) from None


def _target_error(error: RecordError) -> TargetError:
    if error.missing:
        what = f"table [{error.path}]" if error.is_record else f"key {error.path}"
        return TargetError(f"the {what} is missing")
    where = f": [{error.path}]" if error.is_record else ""
    return TargetError(f"{error}{where}")


def _refuse_unknown_keys(record: type, table: dict[str, Any], prefix: str, *, root: type) -> None:
    allowed = field_types(record)
    for key, value in table.items():
        if key not in allowed:
            raise _unknown_key(key, prefix, list(allowed), root)
        nested = record_type(allowed[key])
        if nested is not None and isinstance(value, dict):
            _refuse_unknown_keys(nested, value, f"{prefix}.{key}" if prefix else key, root=root)


def _unknown_key(key: str, prefix: str, keys: list[str], root: type) -> TargetError:
    """The error of a key that the table at `prefix` does not have.

    `root` is the file's record, searched for a table where the key would be right.
    """
    # the name of a file's record is the file's own name, and no key in it
    allowed = [name for name in keys if prefix or name != "name"]
    start = f"{prefix}." if prefix else ""
    meant = ""
    if close := difflib.get_close_matches(key.lower(), allowed, n=1):
        meant = f"{start}{close[0]}"
    else:
        leaves = {path.rpartition(".")[2]: path for path in _all_keys(root) if path != "name"}
        if elsewhere := difflib.get_close_matches(key.lower(), list(leaves), n=1):
            meant = leaves[elsewhere[0]]
    return TargetError(
        f"unknown key {start}{key}{f'; did you mean {meant}?' if meant else ''}\nallowed:"
        f" {', '.join(f'{start}{name}' for name in allowed)}"
    )


def _all_keys(record: type, start: str = "") -> Iterator[str]:
    for name, annotation in field_types(record).items():
        yield f"{start}{name}"
        if (nested := record_type(annotation)) is not None:
            yield from _all_keys(nested, f"{start}{name}.")
