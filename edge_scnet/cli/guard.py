"""The one place where errors are printed: every command runs inside `guarded`."""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, ParamSpec

import typer

from edge_scnet.__about__ import __version__
from edge_scnet.cli import outputs
from edge_scnet.cli.outputs.failure import Failure
from edge_scnet.cli.printer import printing, tell
from edge_scnet.core.foreign import LONGEST_NAME
from edge_scnet.errors import ArtifactError, BuildInterrupted, EdgeError, ExitCode, StorageError

P = ParamSpec("P")
# of click or, in newer versions, of Typer's own copy of it
_COMMAND_LINE_ERROR: Any = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
_LONG_ENOUGH = 80


def guarded(function: Callable[P, None]) -> Callable[P, None]:
    """Turns the errors of a command into a message, a hint and an exit code."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except (typer.Exit, typer.BadParameter):
            raise
        except (Exception, KeyboardInterrupt) as error:
            _fail(error, as_json=bool(kwargs.get("as_json")))

    # Typer asks three times for each command's signature and type hints: evaluating annotations
    # that are left as text took a third of the time of `edge-scnet --help`
    wrapped.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {}
    return wrapped


@contextlib.contextmanager
def ending(arguments: Sequence[str]) -> Iterator[None]:
    """Ends the process where a command line cannot be read, at Ctrl-C, and where stdout is full.

    Args:
        arguments: the command line.
    """
    as_json = "--json" in arguments
    try:
        with _help_printing():
            _refuse_empty(arguments)
            yield
    except _COMMAND_LINE_ERROR as error:
        if near := getattr(error, "possibilities", None):
            # Typer lists them by the alphabet, the likeliest anywhere among them
            error.message, error.possibilities = f"{error.message}; did you mean {near[0]}?", ()
        text = io.StringIO()
        error.show(text)
        for line in text.getvalue().rstrip().splitlines():
            if line.startswith("Error: "):
                line = _in_words(line)
                found = _found(error, arguments)
                line = f"error: {line.removeprefix('Error: ')}{found}"
            tell(line)
        if as_json:
            _show_failure(error.message, "edge-scnet --help", error.exit_code)
        sys.exit(error.exit_code)
    except (EdgeError, OSError, KeyboardInterrupt) as error:
        try:
            _fail(error, as_json=as_json)
        except typer.Exit as ended:
            sys.exit(ended.exit_code)


@contextlib.contextmanager
def _help_printing() -> Iterator[None]:
    """Ends the process as `printing` does where Typer itself cannot print: help, for instance.

    An OSError that names a file is not of stdout. Of a pipe that is closed Typer makes an exit with
    code 1.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        with printing():
            raise error
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        with printing():
            raise


# what pydantic says of numbers, in this tool's words
_WORDS = (
    (r"Input should be a valid number, unable to parse string as a number", "a number is needed"),
    (
        r"Input should be a valid integer, unable to parse string as an integer",
        "a whole number is needed",
    ),
    (r"Input should be greater than or equal to (\S+?)(,|$)", r"the least is \1\2"),
    (r"Input should be less than or equal to (\S+?)(,|$)", r"the most is \1\2"),
)


def _in_words(message: str) -> str:
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    return message


def _found(error: Any, arguments: Sequence[str]) -> str:
    """What a command line gives for an option, where Typer's message lacks it; else nothing."""
    names = getattr(getattr(error, "param", None), "opts", ())
    for given, value in itertools.pairwise([*arguments, ""]):
        name, equals, own = given.partition("=")
        if name in names:
            found = own if equals else value
            return "" if repr(found) in str(error.message) else f", found {found!r}"
    return ""


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuses an empty argument, which to a path would be the working directory.

    Raises:
        typer.BadParameter: an argument, or the value behind an option's "=", is empty.
    """
    for before, given in itertools.pairwise(["", *arguments]):
        name, equals, value = given.partition("=")
        if given == "" or (name.startswith("--") and equals and not value):
            option = name if given else before
            where = f" of {option}" if option.startswith("-") else ""
            raise typer.BadParameter(f"an argument{where} is empty: is a shell variable not set?")


def _show_failure(message: str, hint: str | None, exit_code: int) -> None:
    """Prints a failure for whoever asked for JSON."""
    with contextlib.suppress(EdgeError):  # of a stdout that is full
        outputs.show("failure", Failure(error=message, hint=hint, exit_code=int(exit_code)))


def _fail(error: BaseException, *, as_json: bool) -> NoReturn:
    """Prints an error with its hint, and ends the process with its exit code."""
    if _interrupted(error):
        if as_json:
            _show_failure("interrupted", None, ExitCode.INTERRUPTED)
        tell("")
        tell("interrupted: finished stages are kept, the next run goes on from there")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = os.fsdecode(error.filename or "")
        error = ArtifactError(
            f"no such file or folder ({LONGEST_NAME}): {name[:_LONG_ENOUGH]}...", hint="ls"
        )
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        error = StorageError(
            f"input or output failed{where}: {error.strerror or error}",
            hint="df -h" if is_full else f"ls -ld{where or ' .'}",
        )
    if not isinstance(error, EdgeError):
        _report_bug(error, as_json=as_json)
    show_error(error, with_hint=True)
    if as_json:
        _show_failure(error.message, error.hint, error.exit_code)
    raise typer.Exit(error.exit_code)


def show_error(error: EdgeError, *, with_hint: bool = False) -> None:
    """Prints an error on stderr."""
    tell(f"error: {error.message}")
    if with_hint and error.hint:
        tell("")
        tell(f"hint: {error.hint}")


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error is Ctrl-C, was caused by it, or tells of a build that it ended.

    Ctrl-C while a native module is being imported comes as "ImportError: initialization failed"
    with the interrupt as its cause (pybind11).
    """
    while error is not None and not isinstance(error, KeyboardInterrupt | BuildInterrupted):
        error = error.__cause__ or error.__context__
    return error is not None


def _report_bug(error: BaseException, *, as_json: bool) -> NoReturn:
    import traceback

    from edge_scnet.machine import environment

    where = traceback.extract_tb(error.__traceback__)[-1]
    packages = ("numpy", "torch", "onnx", "onnx-ir", "onnxruntime", "openvino")
    versions = ", ".join(
        f"{name} {version}" for name, version in environment.package_versions(packages)
    )
    if os.environ.get("EDGE_SCNET_TRACEBACK"):
        for line in "".join(traceback.format_exception(error)).splitlines():
            tell(line)
    tell(
        f"error: this is a bug: {type(error).__name__}: {error}"
        f" ({Path(where.filename).name}:{where.lineno})"
    )
    tell(f"edge-scnet {__version__}, Python {sys.version.split()[0]}, {versions}")
    tell("")
    tell(
        "hint: run it again with EDGE_SCNET_TRACEBACK=1 and report what it prints with the command,"
        " and what edge-scnet doctor prints"
    )
    if as_json:
        _show_failure(f"this is a bug: {type(error).__name__}: {error}", None, ExitCode.BUG)
    raise typer.Exit(ExitCode.BUG)
