"""TOML to checked records."""

from __future__ import annotations

import difflib
import json
import math
import re
import types
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from edge_scnet.errors import TargetError


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both allowed unless `above` says that the lower one is not."""

    low: float
    high: float
    above: bool = False

    def __contains__(self, value: float) -> bool:
        # Written so that NaN, which TOML can express, is outside.
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        return (
            f"above {self.low:g}, at most {self.high:g}"
            if self.above
            else f"{self.low:g} to {self.high:g}"
        )


@dataclass(frozen=True, slots=True)
class Filled:
    """A text that may not be empty."""


@dataclass(frozen=True, slots=True)
class Version:
    """A text like "10.3"."""


def read_table(record: Any, table: dict[str, Any], *, prefix: str, root: Any = None) -> Any:
    """Builds a record from a TOML table with exactly its fields as keys; the record checks its
    values itself.

    Raises:
        TargetError: names the key, what was found and what is allowed.
    """
    known = {item.name: item for item in fields(record)}
    for key in table:
        if key not in known:
            raise unknown_key(key, prefix, list(known), root=root or record)
    values: dict[str, Any] = {}
    for key, item in known.items():
        kind = _record_kind(_hints(record)[key])
        if key not in table:
            if item.default is MISSING and item.default_factory is MISSING:
                what = (
                    f"the table [{prefix}{key}]" if is_dataclass(kind) else f"the key {prefix}{key}"
                )
                raise TargetError(f"{what} is missing")
        elif is_dataclass(kind):
            if table[key] is None and item.default is None:
                continue  # a manifest spells out what a target file leaves away
            if not isinstance(table[key], dict):
                raise TargetError(
                    f"{prefix}{key} is {_show(table[key])}; it must be a table: [{prefix}{key}]"
                )
            values[key] = read_table(
                kind, table[key], prefix=f"{prefix}{key}.", root=root or record
            )
        else:
            values[key] = tuple(table[key]) if isinstance(table[key], list) else table[key]
    try:
        return record(**values)
    except TargetError as error:
        # A record names its own field; only the reader knows in which table that is.
        raise TargetError(f"{prefix}{error.message}") from None


def unknown_key(key: str, prefix: str, allowed: list[str], *, root: Any) -> TargetError:
    """The error of a key that no field of the record has; `root` is the file's record, searched for
    the right place.
    """
    everywhere = [full for full in _all_keys(root) if full != "name"]
    leaves = {full.rpartition(".")[2]: full for full in everywhere}
    close = difflib.get_close_matches(
        key.lower(), [name for name in allowed if name != "name"], n=1
    )
    meant = f"{prefix}{close[0]}" if close else ""
    if not meant and (elsewhere := difflib.get_close_matches(key.lower(), list(leaves), n=1)):
        meant = leaves[elsewhere[0]]  # the right key in the wrong table
    keys = ", ".join(f"{prefix}{name}" for name in allowed if name != "name")
    return TargetError(
        f"unknown key {prefix}{key}{f'; did you mean {meant}?' if meant else ''}\nallowed: {keys}"
    )


def _all_keys(record: Any, prefix: str = "") -> Iterator[str]:
    for item in fields(record):
        yield f"{prefix}{item.name}"
        if is_dataclass(kind := _record_kind(_hints(record)[item.name])):
            yield from _all_keys(kind, f"{prefix}{item.name}.")


def _record_kind(kind: Any) -> Any:
    """The record in "record | None", else the annotation itself."""
    if get_origin(kind) in (Union, types.UnionType):
        return next((arm for arm in get_args(kind) if is_dataclass(arm)), kind)
    return kind


def _hints(record: Any) -> dict[str, Any]:
    return get_type_hints(record, include_extras=True)


def check_values(record: Any) -> None:
    for name, kind in _hints(type(record)).items():
        value = getattr(record, name)
        if problem := _problem(value, kind):
            raise TargetError(f"{name} is {_show(value)}; {problem}")
        if isinstance(value, int) and not isinstance(value, bool) and _is_float(kind):
            object.__setattr__(
                record, name, float(value)
            )  # 99 and 99.0 are one setting, also when hashed


def _is_float(kind: Any) -> bool:
    return kind is float or any(
        _is_float(part) for part in get_args(kind) if get_origin(kind) is not Literal
    )


def _problem(value: object, kind: Any) -> str | None:
    """Why `value` does not meet the annotation `kind`, or None."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _problem(value, args[0]) or _outside(value, args[1])
    if origin is Literal:
        return None if value in args else f"allowed: {', '.join(map(_show, args))}"
    if origin is Union or origin is types.UnionType:
        problems = [_problem(value, arm) for arm in args]
        return None if None in problems else problems[0]
    if origin is tuple:
        if not isinstance(value, tuple):
            return "it must be an array"
        return next(
            (
                f"an entry is wrong: {problem}"
                for part in value
                if (problem := _problem(part, args[0]))
            ),
            None,
        )
    if kind is float:
        matches = isinstance(value, int | float) and not isinstance(value, bool)
    elif kind is int:
        matches = isinstance(value, int) and not isinstance(value, bool)
    else:
        matches = isinstance(value, kind)
    words = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "a text in quotes",
    }
    return None if matches else f"it must be {words.get(kind) or f'a {kind.__name__}'}"


def _outside(value: object, limit: object) -> str | None:
    if isinstance(limit, Range) and isinstance(value, int | float) and value not in limit:
        return f"allowed: {limit}"
    if (
        isinstance(limit, Version)
        and isinstance(value, str)
        and not re.fullmatch(r"\d+(\.\d+){0,3}", value)
    ):
        return 'it must be a version like "10.3"'
    if isinstance(limit, Filled) and isinstance(value, str) and not value.strip():
        return "it must not be empty"
    return None


def _show(value: object) -> str:
    """A value as the target file spells it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_show, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str | int | float):
        return json.dumps(value)
    return "a table" if isinstance(value, dict) else str(value)
