"""Records from JSON and to JSON: an error names the place, what was found and what is allowed.

msgspec checks the values by the annotations of a record's fields. What it finds is put into words
here, for reports and manifests as for target files (`config/schema.py`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec
from msgspec import inspect

T = TypeVar("T")

_MOST_DIGITS = 18  # of a whole number in JSON: more pass no 64-bit arithmetic
_MOST_SHOWN = 200  # characters of a wrong value
_PLACE = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(.*?)`")


class RecordError(ValueError):
    """A value does not fit its record.

    Attributes:
        path: where it stands, as in `engines[0].size_bytes`; empty: the whole.
        missing: the value is not there.
        is_record: a nested record belongs there, which is a table in TOML.
        problem: what was found and what is allowed, to follow the path in a sentence.
    """

    def __init__(self, path: str, problem: str, *, missing: bool, is_record: bool) -> None:
        super().__init__(f"{path or 'it'} {problem}")
        self.path = path
        self.problem = problem
        self.missing = missing
        self.is_record = is_record


@overload
def convert(kind: type[T], value: Any, *, path: str = "") -> T: ...
@overload
def convert(kind: Any, value: Any, *, path: str = "") -> Any: ...
def convert(kind: Any, value: Any, *, path: str = "") -> Any:
    """A record of `kind` from JSON's or TOML's dicts, lists and plain values.

    A field with a default may be missing, and fields that the record does not have are passed
    over: both come with files of other versions.

    Args:
        path: where the value itself stands, for the error.

    Raises:
        RecordError: a field is missing, of another type or not allowed.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), kind, value, path) from None


def decode(kind: type[T], data: bytes | str) -> T:
    """A record of `kind` from JSON text.

    Raises:
        RecordError: as `convert`. ValueError: as `loads`.
    """
    return convert(kind, loads(data))


def encode_pretty(record: Any) -> str:
    """A record as JSON with an indent of 1 and a newline at its end.

    Raises:
        ValueError: a figure is NaN or infinite.
    """
    return json.dumps(msgspec.to_builtins(record), indent=1, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """A file's JSON, as `loads`.

    Raises:
        OSError: it cannot be read. ValueError: as `loads`.
    """
    return loads(path.read_text(encoding="utf-8"))


def loads(data: bytes | str) -> Any:
    """JSON's values, without what Python and msgspec read beyond the standard.

    Every comparison with NaN is false, and a whole number of a thousand digits passes no
    arithmetic.

    Raises:
        ValueError: it is no JSON, or a figure in it is none.
    """

    def number(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise ValueError(f"a figure in it is {text}")
        return value

    def whole(text: str) -> int:
        if len(text) > _MOST_DIGITS:
            raise ValueError(f"a figure in it has {len(text)} digits")
        return int(text)

    try:
        return json.loads(data, parse_constant=number, parse_float=number, parse_int=whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def show(value: object) -> str:
    """A value as a TOML or JSON file spells it, cut where it is long."""
    if isinstance(value, tuple | list):
        text = f"[{', '.join(map(show, value[:_MOST_SHOWN]))}]"
    elif isinstance(value, float) and not math.isfinite(value):
        text = str(value)
    elif isinstance(value, str | int | float):
        text = json.dumps(value)
    else:
        text = "a table" if isinstance(value, dict) else str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _explained(message: str, kind: Any, value: Any, outer: str) -> RecordError:
    """msgspec's message of a fault in words, with the value that it does not show."""
    place = _PLACE.search(message)
    steps = [*_steps(place[1] if place else "")]
    path = _join(outer, steps)
    expected = inspect.type_info(kind)
    for step in steps:
        expected = _inner(expected, step)
    if missing := _MISSING.match(message):
        is_record = _record(_inner(expected, missing[1])) is not None
        path = _join(path, [missing[1]])
        return RecordError(path, "is missing", missing=True, is_record=is_record)
    rule = _rule(expected, wrong_type=", got `" in message)
    if steps and isinstance(steps[-1], int):  # the array shows better which entry is meant
        path, rule = _join(outer, steps[:-1]), f"an entry is wrong: {rule}"
        steps = steps[:-1]
    problem = f"is {show(_value_at(value, steps))}; {rule}"
    return RecordError(path, problem, missing=False, is_record=_record(expected) is not None)


def _steps(place: str) -> Iterator[str | int]:
    """The keys and indices of a place like `.engines[0].name`; "..." is some key of a dict."""
    for match in _STEP.finditer(place):
        index = match[2]
        yield match[1] or (int(index) if index.isdecimal() else index)


def _join(outer: str, steps: list[str | int]) -> str:
    path = outer
    for step in steps:
        named = isinstance(step, str) and step != "..."
        path += (f".{step}" if path else str(step)) if named else f"[{step}]"
    return path


def _value_at(value: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if step == "...":
            return value
        value = value[step]
    return value


def _first_arm(expected: inspect.Type) -> inspect.Type:
    """A type without None."""
    if isinstance(expected, inspect.UnionType):
        return next(arm for arm in expected.types if not isinstance(arm, inspect.NoneType))
    return expected


def _plain(expected: inspect.Type) -> inspect.Type:
    """A type without its metadata and without None."""
    while isinstance(expected, inspect.Metadata | inspect.UnionType):
        expected = expected.type if isinstance(expected, inspect.Metadata) else _first_arm(expected)
    return expected


def _record(expected: inspect.Type) -> inspect.DataclassType | None:
    plain = _plain(expected)
    return plain if isinstance(plain, inspect.DataclassType) else None


def _inner(expected: inspect.Type, step: str | int) -> inspect.Type:
    """The type of a record's field, or of an array's or a dict's values."""
    plain = _plain(expected)
    if isinstance(plain, inspect.DataclassType):
        return next(field.type for field in plain.fields if field.encode_name == step)
    if isinstance(plain, inspect.VarTupleType | inspect.ListType):
        return plain.item_type
    if isinstance(plain, inspect.DictType):
        return plain.value_type
    return inspect.AnyType()


_WORDS: dict[type, str] = {
    inspect.FloatType: "a number",
    inspect.IntType: "a whole number",
    inspect.BoolType: "true or false",
    inspect.StrType: "a text in quotes",
    inspect.VarTupleType: "an array",
    inspect.ListType: "an array",
    inspect.DictType: "a table",
    inspect.DataclassType: "a table",
}


def _rule(expected: inspect.Type, *, wrong_type: bool) -> str:
    """What is allowed, as the end of a sentence."""
    plain = _plain(expected)
    if isinstance(plain, inspect.LiteralType):
        return f"allowed: {', '.join(map(show, plain.values))}"
    if wrong_type:
        return f"it must be {_WORDS.get(type(plain), 'another value')}"
    if isinstance(plain, inspect.StrType):
        return _own_rule(expected) or f"it must match {plain.pattern}"
    if isinstance(plain, inspect.IntType | inspect.FloatType):
        return f"allowed: {_range(plain)}"
    return "it is not allowed"


def _own_rule(expected: inspect.Type) -> str | None:
    """The `rule` that an annotation's metadata spells out."""
    inner = _first_arm(expected)
    extra = inner.extra if isinstance(inner, inspect.Metadata) else None
    return (extra or {}).get("rule")


def _range(number: inspect.IntType | inspect.FloatType) -> str:
    low = number.ge if number.gt is None else number.gt
    if low is None or number.le is None:
        bounds = {">": number.gt, ">=": number.ge, "<": number.lt, "<=": number.le}
        return " and ".join(
            f"{sign} {value:g}" for sign, value in bounds.items() if value is not None
        )
    return (
        f"{low:g} to {number.le:g}"
        if number.gt is None
        else f"above {low:g}, at most {number.le:g}"
    )
