"""The one place where commands print: whatever comes from a file is made fit for a terminal.

Results go to stdout, all else to stderr. A reader of stdout that left (head, less) ends nothing:
what follows goes nowhere, and the exit code stays that of the command. A stdout that is full is an
error. What cannot be written to stderr is let go.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from edge_scnet.core.printable import printable, printable_json, printable_lines
from edge_scnet.errors import ExitCode, StorageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH_IN_A_PIPE = 120
_NARROWEST = 40
_WIDEST = 10_000
# SIMPLE_HEAD parts columns by three spaces
_BETWEEN_COLUMNS = 3
# indentation, and a name with two spaces and more behind it, as in "lost, won  images that ..."
_NAME = re.compile(r" *(?:\S.*? {2,}(?=\S))?")
_STDERR = 2


def say(*lines: str) -> None:
    """Prints results, each on a line of its own; a terminal's are wrapped at words."""
    width = _width_of(sys.stdout)
    _write("".join(f"{wrapped(printable(line), width)}\n" for line in lines))


def say_json(text: str) -> None:
    """Prints JSON."""
    _write(printable_json(text.rstrip("\n") + "\n"))


def tell(text: str) -> None:
    """Prints on stderr what is no result; a line that follows the first is indented."""
    width = _width_of(sys.stderr)
    lines = printable_lines(text).split("\n")
    # a command in a hint stays on one line, which can be copied
    keep = text.startswith("hint: ")
    _tell("".join(f"{line if keep else wrapped(line, width)}\n" for line in lines))


def _width_of(stream: TextIO) -> int | None:
    """The columns of a terminal, or those that COLUMNS says; None: of a file or pipe."""
    if os.environ.get("COLUMNS", "").isdecimal() or stream.isatty():
        return max(shutil.get_terminal_size().columns, _NARROWEST)
    return None


def wrapped(line: str, width: int | None) -> str:
    """A line as lines of at most so many columns, broken between words.

    What follows is indented as far as the line's words are: behind its indentation, and behind a
    name that two spaces part from them. A word that is longer, as a path may be, stays whole.
    """
    if width is None or len(line) <= width:
        return line
    begin = _NAME.match(line)
    column = begin.end() if begin is not None and begin.end() <= width // 2 else 0
    return textwrap.fill(
        line[column:],
        width,
        initial_indent=line[:column],
        subsequent_indent=" " * column,
        break_long_words=False,
        break_on_hyphens=False,
    )


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
    """Prints a table, 120 columns wide where stdout is no terminal.

    A table whose figures need more is as wide as they are: a terminal breaks its lines, and no
    figure is cut.
    """
    width = _width_of(sys.stdout) or _WIDTH_IN_A_PIPE
    console = _results_console(max(width, _needed(table)))
    with console.capture() as printed:
        console.print(table)
    lines = [line.rstrip() for line in printed.get().splitlines()]
    while lines and not lines[0]:
        del lines[0]
    while lines and not lines[-1]:
        del lines[-1]
    _write("".join(f"{line}\n" for line in lines))


def _needed(table: Table) -> int:
    """The columns that a table takes whose words are broken between, and figures nowhere."""
    console = _results_console(_WIDEST)
    total = 0
    for column in table.columns:
        cells = [console.measure(cell) for cell in (column.header, *column.cells)]
        widths = [cell.maximum if column.no_wrap else cell.minimum for cell in cells]
        total += max(widths, default=0)
    return total + _BETWEEN_COLUMNS * len(table.columns)


def widest_of(table: Table) -> int:
    """The columns that a table takes where no cell is broken."""
    return _results_console(_WIDEST).measure(table).maximum


def results_width() -> int:
    """The columns of results."""
    return _width_of(sys.stdout) or _WIDTH_IN_A_PIPE


def say_in_color(text: str, color: str) -> None:
    """Prints a result on a line, in color on a terminal; it is wrapped as `say`'s are."""
    text = wrapped(printable(text), _width_of(sys.stdout))
    with printing():
        for line in text.split("\n"):
            _results_console(_WIDEST).print(line, style=color, soft_wrap=True)


def _results_console(width: int) -> Console:
    return _console_class()(highlight=False, markup=False, emoji=False, width=width)


def progress_console() -> Console:
    """A console on stderr."""
    return _console_class()(stderr=True, highlight=False, markup=False, emoji=False)
