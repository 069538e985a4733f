"""The one place where commands print: whatever comes from a file is made fit for a terminal.

Results go to stdout, all else to stderr. A reader of stdout that left (head, less) ends nothing:
what follows goes nowhere, and the exit code stays that of the command. A stdout that is full is an
error. What cannot be written to stderr is let go.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge_scnet.core.printable import printable, printable_json, printable_lines
from edge_scnet.errors import ExitCode, StorageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH_IN_A_PIPE = 120
_STDERR = 2


def say(*lines: str) -> None:
    """Prints results, each on a line of its own."""
    _write("".join(f"{printable(line)}\n" for line in lines))


def say_json(text: str) -> None:
    """Prints JSON."""
    _write(printable_json(text.rstrip("\n") + "\n"))


def tell(text: str) -> None:
    """Prints on stderr what is no result; a line that follows the first is indented."""
    _tell(f"{printable_lines(text)}\n")


def tell_commands(lines: list[str]) -> None:
    """Prints commands to a CI on stderr, whose own escaping their texts have had."""
    for line in lines:
        command, text = line[:2], line[2:]
        _tell(f"{command}{printable(text)}\n")


def open_streams() -> None:
    """Ends the process where stdout is closed; a closed stderr is opened to nowhere.

    The next file that is opened would take the place of either, and what a library prints there.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
        if sys.stderr.fileno() != _STDERR:
            os.dup2(sys.stderr.fileno(), _STDERR)
    if sys.stdout is None:
        tell("error: stdout is closed")
        tell("")
        tell("hint: where nothing is to be printed: >/dev/null")
        sys.exit(ExitCode.STORAGE)


def _write(text: str) -> None:
    with printing():
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding
            sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _tell(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Writes out what is printed in it.

    Raises:
        StorageError: stdout takes no more; it is closed to all that follows.
    """
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes a broken pipe an exit with code 1
        _leave_stdout()
    except OSError as error:
        _leave_stdout()
        raise StorageError(
            f"cannot write to stdout: {error.strerror or error}",
            hint="df -h; what is printed can also go to a file on another disk: > FILE",
        ) from error


def _leave_stdout() -> None:
    """Lets what follows go nowhere, and what is not written yet, which Python does at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@functools.cache
def _console_class() -> type[Console]:
    from rich.console import Console
    from rich.text import Text

    class Printer(Console):
        """A console that takes strings for text: no markup, no emoji, nothing to obey.

        Tables pass their cells, heads and titles through it too.
        """

        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(printable(text), **settings)

    return Printer


def show_table(table: Table) -> None:
    """Prints a table, 120 columns wide where stdout is no terminal."""
    with printing():
        _results_console().print(table)


def say_in_color(text: str, color: str) -> None:
    """Prints a result on a line, in color on a terminal."""
    with printing():
        _results_console().print(text, style=color, soft_wrap=True)


def _results_console() -> Console:
    width = None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE
    return _console_class()(highlight=False, markup=False, emoji=False, width=width)


def progress_console() -> Console:
    """A console on stderr."""
    return _console_class()(stderr=True, highlight=False, markup=False, emoji=False)
