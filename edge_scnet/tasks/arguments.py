"""A task's arguments: `--task-args '{"threshold": 0.4}'`, read and checked by name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from edge_scnet.errors import DataError
from edge_scnet.tasks.base import Context


def checked(task: str, context: Context, allowed: Mapping[str, str]) -> dict[str, Any]:
    """The arguments that a user gave.

    Args:
        task: the task's name.
        allowed: what each argument is, by name.

    Raises:
        DataError: one that is not among them.
    """
    given = context.arguments
    for name in given:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            listed = "; ".join(f"{key}: {words}" for key, words in allowed.items())
            mended = {key: value for key, value in given.items() if key in allowed}
            if close:
                mended = {close[0]: given[name], **mended}
            advice = f"did you mean {close[0]}?" if close else f"leave {name} out:"
            raise DataError(
                f"{task} takes no argument {name!r}; allowed are {listed or 'none'}",
                hint=f"{advice} --task-args '{json.dumps(mended)}'",
            )
    return given


def number(task: str, arguments: Mapping[str, Any], name: str) -> float | None:
    """An argument that is a number; None where it is not given.

    Raises:
        DataError: it is none.
    """
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(
            f"{task}: {name} is {value!r}; a number is wanted",
            hint=f"--task-args '{{\"{name}\": 0.5}}'",
        )
    return float(value)


def one_of(
    task: str, arguments: Mapping[str, Any], name: str, allowed: Sequence[str]
) -> str | None:
    """An argument that is one of some words; None where it is not given.

    Raises:
        DataError: it is another.
    """
    value = arguments.get(name)
    if value is not None and value not in allowed:
        raise DataError(
            f"{task}: {name} is {value!r}; allowed are {', '.join(allowed)}",
            hint=f'--task-args \'{{"{name}": "{allowed[0]}"}}\'',
        )
    return value


def output_of(task: str, context: Context, *, default: int = 0) -> int:
    """The index of the output that is judged: the argument `output`, a name or a number.

    Raises:
        DataError: there is no such output, or its size depends on the data.
    """
    value = context.arguments.get("output", default)
    names = context.output_names
    if isinstance(value, str) and value in names:
        return _sized(task, context, names.index(value))
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if is_number and 0 <= value < (len(names) or value + 1):
        return _sized(task, context, int(value))
    raise DataError(
        f"{task}: the network has no output {value!r}; it has {', '.join(names) or 'numbers only'}",
        hint='--task-args \'{"output": ' + (f'"{names[0]}"' if names else "0") + "}'",
    )


def counts(task: str, context: Context, output: int) -> DataError:
    """The error of an output whose size depends on the data, which the task cannot read."""
    others = [head.name for head in context.heads if head.counted is None]
    another = (
        f"""; or another output: --task-args '{{"output": "{others[0]}"}}'""" if others else ""
    )
    return DataError(
        f"{task}: the size of output {context.output_name(output)!r} depends on the data, which"
        " this task does not read",
        hint=f"--task detection --decode package.module:function{another}",
    )


def _sized(task: str, context: Context, output: int) -> int:
    """The same output.

    Raises:
        DataError: its size depends on the data.
    """
    head = context.head(output)
    if head is not None and head.counted is not None:
        raise counts(task, context, output)
    return output


OUTPUT = "name or number of the output that is judged"
