"""JSON to frozen records; strict JSON."""

from __future__ import annotations

import functools
import json
import math
import types
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_JSON_TYPES: dict[Any, Any] = {
    str: str,
    int: int,
    float: (int, float),
    bool: bool,
    dict: dict,
    tuple: (list, tuple),
}


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    # a report holds hundreds of records of one kind, and evaluating its annotations takes 0.1 ms
    return get_type_hints(kind)


def record_from_json(kind: Any, value: Any) -> Any:
    """JSON back to a record, by its annotations: nested records, tuples of them, and dicts of them.

    A field with a default may be missing: it came after the file was written.

    Raises:
        KeyError, TypeError: a field is missing, or has another type.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return (
            None
            if value is None
            else record_from_json(next(arm for arm in arguments if arm is not type(None)), value)
        )
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise TypeError(
                f"{json.dumps(value)[:80]} stands where one of {', '.join(map(str, arguments))} is"
                " needed"
            )
        return value
    wanted = _JSON_TYPES.get(origin or kind)
    if wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool)):
        raise TypeError(
            f"{json.dumps(value)[:80]} stands where {getattr(kind, '__name__', kind)} is needed"
        )
    if origin is tuple:
        return tuple(record_from_json(arguments[0], item) for item in value)
    if origin is dict:
        return {key: record_from_json(arguments[1], item) for key, item in value.items()}
    if is_dataclass(kind):
        hints = _hints(kind)  # type: ignore[arg-type]
        given = [
            f
            for f in fields(kind)
            if f.name in value or (f.default is MISSING and f.default_factory is MISSING)
        ]
        return kind(**{f.name: record_from_json(hints[f.name], value[f.name]) for f in given})  # type: ignore[operator]
    return value


_MOST_DIGITS = 18


def read_json(path: Path) -> Any:
    """A file's JSON without what Python reads beyond the standard: every comparison with NaN is
    false, and a whole number of a thousand digits passes no arithmetic.

    Raises:
        OSError: it cannot be read. ValueError: it is no JSON, or a figure in it is none.
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
        return json.loads(
            path.read_text(encoding="utf-8"),
            parse_constant=number,
            parse_float=number,
            parse_int=whole,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
