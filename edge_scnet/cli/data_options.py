"""The options that say how sample sets are read: they become settings behind the sets' names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_scnet.cli.command_help import SAMPLES
from edge_scnet.core.source import COLUMNS, LISTS, Source, parse_source
from edge_scnet.errors import DataError


def _columns(text: str) -> dict[str, str]:
    """Reads path=file,label=breed or values=x1;y1."""
    columns = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if name not in COLUMNS or not equals or not value:
            raise typer.BadParameter(
                f"{part!r} names no column: as in path=file,label=breed or values=x1;y1, of"
                f" {', '.join(COLUMNS)}"
            )
        columns[name] = value.replace(";", ",")
    return columns


Columns = Annotated[
    Any,
    typer.Option(
        "--columns",
        parser=_columns,
        metavar="NAME=COLUMN,...",
        rich_help_panel=SAMPLES,
        help="What a list's columns are: path=file,label=breed or values=x1;y1.",
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="DIR",
        rich_help_panel=SAMPLES,
        help="Folder of a list's, a COCO file's or a data.yaml's images.",
    ),
]
DropDuplicates = Annotated[
    bool,
    typer.Option(
        "--drop-duplicates",
        rich_help_panel=SAMPLES,
        help="Leave out copies of samples, and count them.",
    ),
]
_ADDED: Mapping[str, tuple[Any, Any]] = {
    "columns": (Columns, None),
    "images": (Images, None),
    "drop_duplicates": (DropDuplicates, False),
}


def with_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options to a command with the parameters `calib` or `evaluation`, or both."""
    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _ADDED.items()
    ]
    sets = [name for name in ("calib", "evaluation") if name in signature.parameters]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        options = {name: values.pop(name) for name in _ADDED}
        given = {name: values[name] for name in sets if values[name] is not None}
        try:
            command(**{**values, **_with_settings(given, options)})
        except DataError as error:
            error.hint = _for_one_set(error, given, options) or error.hint
            raise

    own = list(signature.parameters.values())
    position = next(
        (i for i, item in enumerate(own) if item.kind is inspect.Parameter.KEYWORD_ONLY), len(own)
    )
    parameters = [*own[:position], *added, *own[position:]]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapped


def _for_one_set(
    error: DataError, sets: Mapping[str, str], options: Mapping[str, Any]
) -> str | None:
    """How an option that both sets took is said of one alone; None where the error is not of it."""
    sources = {name: parse_source(text) for name, text in sets.items()}
    words = {"columns": "has no column", "images": "files do not exist"}
    for option, takes in (("columns", _is_list), ("images", _has_images)):
        given = options[option]
        if not given or words[option] not in error.message or len(sources) < 2:
            continue
        lacking = [name for name, source in sources.items() if str(source.path) in error.message]
        if len(lacking) != 1 or not all(map(takes, sources.values())):
            continue
        (other,) = (name for name in sources if name not in lacking)
        source = sources[other]
        for name, value in given.items() if option == "columns" else [("images", given.resolve())]:
            source = source.with_setting(name, str(value))
        return (
            f"--{option} is for both sets; settings behind a name are for one: in place of it"
            f" {_OPTIONS[other]} '{source.text}'"
        )
    return None


_OPTIONS = {"calib": "--calib", "evaluation": "--eval"}


def _with_settings(sets: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, str]:
    """The names of sets with the options as settings behind those that they are for.

    Raises:
        BadParameter: an option is for none of the sets.
    """
    sources = {name: parse_source(text) for name, text in sets.items()}
    columns, images = options["columns"] or {}, options["images"]
    for name, value in columns.items():
        sources = _with_setting(sources, name, value, _is_list, "--columns")
    if images is not None:
        place = str(images.resolve())
        sources = _with_setting(sources, "images", place, _has_images, "--images")
    if options["drop_duplicates"]:
        sources = _with_setting(sources, "duplicates", "drop", lambda _: True, "--drop-duplicates")
    return {name: source.text for name, source in sources.items()}


def _with_setting(
    sources: Mapping[str, Source],
    name: str,
    value: str,
    takes: Callable[[Source], bool],
    option: str,
) -> dict[str, Source]:
    if not any(map(takes, sources.values())):
        raise typer.BadParameter(
            f"{option} is for {_FOR[option]}; --calib and --eval are none: leave it out"
        )
    return {
        key: source.with_setting(name, value) if takes(source) else source
        for key, source in sources.items()
    }


_FOR = {
    "--columns": f"lists ({' '.join(LISTS)})",
    "--images": f"lists ({' '.join(LISTS)}), COCO files (.json) and data.yaml",
    "--drop-duplicates": "sets that are named",
}


def _is_list(source: Source) -> bool:
    return not source.is_code and source.path.suffix.lower() in LISTS


def _has_images(source: Source) -> bool:
    suffixes = (".json", ".yaml", ".yml")
    return _is_list(source) or (not source.is_code and source.path.suffix.lower() in suffixes)
