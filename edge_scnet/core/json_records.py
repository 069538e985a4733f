"""Records from JSON and to JSON: an error names the place, what was found and what is allowed.

msgspec checks the values by the annotations of a record's fields. What it finds is put into words
here, for reports and manifests as for target files (`config/schema.py`).
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Hashable, Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import msgspec
from msgspec import Meta

from edge_scnet.core.foreign import read_bytes

T = TypeVar("T")

MOST_DIGITS = 18  # of a whole number in JSON: more pass no 64-bit arithmetic
_MOST_SHOWN = 200  # characters of a wrong value
_MOST_NESTED = 64  # containers in each other: Python's own limit is some 1,000 calls
# A byte of a file name as Python has it; some characters' second halves look the same.
_NOT_UTF8 = re.compile(r"\\udc[89a-f]")
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
    except UnicodeEncodeError as error:
        # msgspec looks keys up by their UTF-8
        problem = f"holds the key {ascii(error.object)[:_MOST_SHOWN]}, which is no Unicode"
        raise RecordError(path, problem, missing=False, is_record=False) from None


def decode(kind: type[T], data: bytes | str) -> T:
    """A record of `kind` from JSON text.

    Raises:
        RecordError: as `convert`. ValueError: as `loads`.
    """
    return convert(kind, loads(data))


def encode_pretty(record: Any) -> str:
    """A record as JSON with an indent of 1 and a newline at its end; paths are texts.

    File names that are not UTF-8, which other programs would not read, are written with escapes.

    Raises:
        ValueError: a figure is NaN or infinite.
    """
    content = msgspec.to_builtins(record, enc_hook=_path_as_text)
    text = json.dumps(content, indent=1, allow_nan=False)
    if _NOT_UTF8.search(text):
        text = json.dumps(_escaped(content), indent=1, allow_nan=False)
    return text + "\n"


def _path_as_text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")


def _escaped(value: Any) -> Any:
    """JSON's values, in whose texts bytes that are not UTF-8 are escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(inner) for key, inner in value.items()}
    return [_escaped(inner) for inner in value] if isinstance(value, list | tuple) else value


def read_json(path: Path) -> Any:
    """A file's JSON, as `loads`.

    Raises:
        OSError: it cannot be read, is no regular file, or larger than 1 GiB. ValueError: as
            `loads`.
    """
    return loads(read_bytes(path).decode("utf-8"))


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
        if len(text) > MOST_DIGITS:
            raise ValueError(f"a figure in it has {len(text)} digits")
        return int(text)

    try:
        value = json.loads(data, parse_constant=number, parse_float=number, parse_int=whole)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    check_nesting(value)
    return value


_TOO_DEEP = f"it is nested too deeply; {_MOST_NESTED} levels are allowed"


def check_nesting(value: Any) -> None:
    """Holds JSON's or TOML's values to a depth that every function can follow.

    Raises:
        ValueError: they are nested too deeply.
    """
    level = [value]
    for _ in range(_MOST_NESTED):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def show(value: object) -> str:
    """A value as a TOML or JSON file spells it, cut where it is long."""
    if isinstance(value, tuple | list):
        text = f"[{', '.join(map(show, value[:_MOST_SHOWN]))}]"
    elif isinstance(value, float) and not math.isfinite(value):
        text = str(value)
    elif isinstance(value, str | int | float | None):
        text = json.dumps(value)
    else:
        text = "a table" if isinstance(value, dict) else str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def record_type(kind: Any) -> type | None:
    """The record that an annotation names, alone or with None; None: it names no record."""
    plain, _ = _unwrapped(kind)
    return plain if isinstance(plain, type) and is_dataclass(plain) else None


def field_types(record: Any) -> dict[str, Any]:
    """The annotations of a record's fields, with their metadata."""
    return _field_types(record)


@cache
def _field_types(record: Hashable) -> dict[str, Any]:
    return get_type_hints(record, include_extras=True)


def _explained(message: str, kind: Any, value: Any, outer: str) -> RecordError:
    """msgspec's message of a fault in words, with the value that it does not show."""
    place = _PLACE.search(message)
    steps = list(_steps(place[1] if place else ""))
    expected = kind
    for step in steps:
        expected = _inner(expected, step)
    if missing := _MISSING.match(message):
        is_record = record_type(_inner(expected, missing[1])) is not None
        path = _join(outer, [*steps, missing[1]])
        return RecordError(path, "is missing", missing=True, is_record=is_record)
    rule = _rule(expected, wrong_type=", got `" in message)
    if steps and (steps[-1] == "..." or isinstance(steps[-1], int)):
        # the whole array shows better which entry is meant, and a dict's key is not told
        steps, rule = steps[:-1], f"an entry is wrong: {rule}"
    problem = f"is {show(_value_at(value, steps))}; {rule}"
    is_record = record_type(expected) is not None
    return RecordError(_join(outer, steps), problem, missing=False, is_record=is_record)


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


def _unwrapped(kind: Any) -> tuple[Any, list[Meta]]:
    """An annotation's type without None, and what `Annotated` says of it, the inner first."""
    metas: list[Meta] = []
    while True:
        if get_origin(kind) is Annotated:
            metas[:0] = kind.__metadata__
            kind = kind.__origin__
        elif get_origin(kind) in (Union, types.UnionType):
            kind = next(arm for arm in get_args(kind) if arm is not type(None))
        else:
            return kind, metas


def _inner(kind: Any, step: str | int) -> Any:
    """The annotation of a record's field, or of the values of an array or a dict."""
    plain, _ = _unwrapped(kind)
    if is_dataclass(plain):
        return field_types(plain)[str(step)]
    arguments = get_args(plain)
    return arguments[1 if get_origin(plain) is dict else 0] if arguments else Any


_WORDS: dict[Any, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "a text in quotes",
    tuple: "an array",
    list: "an array",
    dict: "a table",
}


def _rule(kind: Any, *, wrong_type: bool) -> str:
    """What is allowed, as the end of a sentence."""
    plain, metas = _unwrapped(kind)
    if get_origin(plain) is Literal:
        return f"allowed: {', '.join(map(show, get_args(plain)))}"
    if wrong_type:
        return f"it must be {_WORDS.get(get_origin(plain) or plain, 'a table')}"
    for meta in metas:
        if meta.extra and "rule" in meta.extra:
            return str(meta.extra["rule"])
        if meta.le is not None and meta.ge is not None:
            return f"allowed: {meta.ge:g} to {meta.le:g}"
        if meta.le is not None and meta.gt is not None:
            return f"allowed: above {meta.gt:g}, at most {meta.le:g}"
    if not metas and get_origin(plain) is tuple:
        return f"it must be an array of {len(get_args(plain))}"
    return f"it must meet {', '.join(map(repr, metas))}"
