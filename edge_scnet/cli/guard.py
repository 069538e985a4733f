"""The one place where errors are printed: every command runs inside `guarded`."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, ParamSpec

import typer

from edge_scnet.__about__ import __version__
from edge_scnet.errors import BuildInterrupted, EdgeError, ExitCode, StorageError

P = ParamSpec("P")


def guarded(function: Callable[P, None]) -> Callable[P, None]:
    """Turns the errors of a command into a message, a hint and an exit code."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
            sys.stdout.flush()
        except (typer.Exit, typer.BadParameter):
            raise
        except BrokenPipeError:
            _leave_pipe()
            raise typer.Exit(ExitCode.OK) from None
        except (Exception, KeyboardInterrupt) as error:
            _fail(error)

    # Typer asks three times for each command's signature and type hints: evaluating annotations
    # that are left as text took a third of the time of `edge-scnet --help`
    wrapped.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {}
    return wrapped


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Keeps a reader that left (head, less) from changing the exit code.

    For what rich prints, and for output that a verdict's exit code follows.
    """
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes a broken pipe an exit with code 1
        _leave_pipe()


def _leave_pipe() -> None:
    """Lets the rest of stdout go nowhere: its reader is gone, which Python would report at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: BaseException) -> NoReturn:
    """Prints an error with its hint, and ends the process with its exit code."""
    if _interrupted(error):
        typer.echo(
            "\ninterrupted: finished stages are kept, the next run goes on from there", err=True
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        error = StorageError(
            f"input or output failed{where}: {error.strerror or error}", hint="df -h; ls -l"
        )
    if not isinstance(error, EdgeError):
        _report_bug(error)
    show_error(error)
    if error.hint:
        typer.echo(f"\nhint: {_no_commands(error.hint)}", err=True)
    raise typer.Exit(error.exit_code)


def show_error(error: EdgeError) -> None:
    """Prints an error on stderr, without its hint."""
    typer.echo(f"error: {_no_commands(error.message)}", err=True)


def _no_commands(text: str) -> str:
    """Takes what a CI's log or a terminal would obey out of a text.

    Messages quote files that anybody may have written.
    """
    return re.sub(r"(?m)^::", " ::", re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+", " ", text))


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error is Ctrl-C, was caused by it, or tells of a build that it ended.

    Ctrl-C while a native module is being imported comes as "ImportError: initialization failed"
    with the interrupt as its cause (pybind11).
    """
    while error is not None and not isinstance(error, KeyboardInterrupt | BuildInterrupted):
        error = error.__cause__ or error.__context__
    return error is not None


def _report_bug(error: BaseException) -> NoReturn:
    import traceback

    from edge_scnet.machine import environment

    where = traceback.extract_tb(error.__traceback__)[-1]
    packages = ("numpy", "torch", "onnx", "onnx-ir", "onnxruntime", "openvino")
    versions = ", ".join(
        f"{name} {version}" for name, version in environment.package_versions(packages)
    )
    if os.environ.get("EDGE_SCNET_TRACEBACK"):
        traceback.print_exception(error)
    typer.echo(
        f"error: this is a bug: {type(error).__name__}: {_no_commands(str(error))}"
        f" ({Path(where.filename).name}:{where.lineno})",
        err=True,
    )
    typer.echo(f"edge-scnet {__version__}, Python {sys.version.split()[0]}, {versions}", err=True)
    typer.echo(
        "\nhint: run it again with EDGE_SCNET_TRACEBACK=1 and report what it prints with the"
        " command",
        err=True,
    )
    raise typer.Exit(ExitCode.BUG)
