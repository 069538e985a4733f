"""What commands print of names and texts out of files."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edge_scnet.cli import console, printer
from edge_scnet.config.target import Gates
from edge_scnet.errors import StorageError
from edge_scnet.gate import baseline
from edge_scnet.report.store import load_report, to_json
from tests.helpers.hostile import ALL, NAMES, check_fit
from tests.helpers.reports import report
from tests.helpers.tool import Run


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A report whose every text that may hold anything holds all names, and its baseline."""
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "report.json"
    content = json.loads(to_json(report()))
    for place, key in list(_texts(content)):
        old = place[key]
        place[key] = old + ALL
        path.write_text(json.dumps(content))
        try:
            load_report(path)
            baseline.of_report(load_report(path), Gates())
        except Exception:
            place[key] = old
    path.write_text(json.dumps(content))
    loaded = load_report(path)
    assert ALL in loaded.verdict and ALL in loaded.command and ALL in loaded.engines[0].runtime
    known = folder / "baseline.json"
    baseline.save(baseline.of_report(loaded, Gates()), known)
    return path, known


def _texts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every text inside a JSON value, as where it is and under what."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, str):
            yield value, key
        elif isinstance(item, dict | list):
            yield from _texts(item)


# Each command once in a process of its own, which takes half a second.
PROCESSES = (
    "report REPORT",
    "compare REPORT OTHER",
    "check OTHER --baseline BASE",
    "baseline update REPORT --baseline BASE",
    "verify BASE NAMES.json",
)


@pytest.mark.slow
@pytest.mark.parametrize("github", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        "report REPORT",
        "report REPORT --json",
        "compare REPORT OTHER",
        "compare REPORT OTHER --json",
        "check REPORT --baseline BASE",
        "check REPORT --baseline BASE --json",
        "check OTHER --baseline BASE",
        "check WORSE --baseline BASE --explain",
        "baseline update REPORT --baseline BASE",
        "baseline update WORSE --baseline BASE",
        "baseline update WORSE --baseline BASE --accept x --json",
        "verify BASE NAMES.json",
    ],
)
def test_a_report_s_texts_are_not_obeyed(
    hostile: tuple[Path, Path],
    cli_process: Run,
    invoke: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    github: bool,
) -> None:
    path, known = hostile
    # a copy, for it may be renewed; in a folder whose name is as bad
    folder = tmp_path / ALL.replace("/", "")[:80]
    folder.mkdir()
    files = {"REPORT": folder / "r.json", "OTHER": folder / "o.json", "WORSE": folder / "w.json"}
    base = folder / "b.json"
    base.write_text(known.read_text())
    content = json.loads(path.read_text())
    files["REPORT"].write_text(json.dumps(content))
    files["OTHER"].write_text(to_json(report()))
    content["engines"][-1]["accuracy"]["sqnr_db"] -= 20
    files["WORSE"].write_text(json.dumps(content))
    words = {**files, "BASE": base, "NAMES.json": folder / "n.json"}
    monkeypatch.setenv("GITHUB_ACTIONS", "true" if github else "")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    run = cli_process if command in PROCESSES and not github else invoke
    outcome = run(*(words.get(word, word) for word in command.split()))
    assert outcome.code in (0, 6, 10, 12), outcome.stderr
    assert "this is a bug" not in outcome.stderr
    check_fit(outcome.stdout)
    # the tool's own annotations are commands, each of a line
    own = ("::error file=", "::warning file=")
    check_fit("\n".join(_ for _ in outcome.stderr.splitlines() if not _.startswith(own)))


@pytest.mark.slow
def test_files_that_are_written_hold_no_such_texts(
    hostile: tuple[Path, Path], invoke: Run, tmp_path: Path
) -> None:
    path, known = hostile
    page, table, junit, markdown = (tmp_path / name for name in ("p.html", "t.md", "j.xml", "m.md"))
    assert invoke("report", path, "--html", page, "--markdown", table).code == 0
    outcome = invoke("check", path, "-b", known, "--junit", junit, "--markdown", markdown)
    assert outcome.code == 0, outcome.stderr
    for file in (page, table, junit, markdown):
        check_fit(file.read_text(encoding="utf-8").replace("\x1b", "?"))
    assert "[bold]bold" in page.read_text()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["lines", "bars"])
def test_progress_and_warnings_are_fit(
    name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = io.StringIO()
    shown = console.Lines() if kind == "lines" else console.Bars(Console(file=drawn, no_color=True))
    shown.stage("calibrate", f"120 images of {name}")
    shown.progress(name, 0.5)
    shown.done(name, reused=False)
    shown.warn(name)
    shown.close()
    check_fit(capsys.readouterr().err + drawn.getvalue())


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("a word and another", ["a word and", "another"]),
        ("  a word and another", ["  a word and", "  another"]),
        ("name  one two three", ["name  one two", "      three"]),
        ("a, b  one two three", ["a, b  one two", "      three"]),
        ("/a/path/that/is/longer/than/a/line", ["/a/path/that/is/longer/than/a/line"]),
        ("at the end 0.5-percent", ["at the end", "0.5-percent"]),
    ],
)
def test_lines_are_wrapped_at_words(line: str, lines: list[str]) -> None:
    assert printer.wrapped(line, 18 if line.startswith((" ", "name", "a, b")) else 14) == (
        "\n".join(lines)
    )
    assert printer.wrapped(line, None) == line


def test_a_terminal_wraps_results_and_errors_and_no_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "some words " * 12
    monkeypatch.delenv("COLUMNS", raising=False)
    printer.say(words.strip())
    assert capsys.readouterr().out == f"{words.strip()}\n"
    monkeypatch.setenv("COLUMNS", "80")
    printer.say(words.strip())
    printer.say_in_color(words.strip(), "red")
    printer.tell(f"error: {words.strip()}")
    printed = capsys.readouterr()
    assert 70 < max(map(len, (printed.out + printed.err).splitlines())) <= 80
    printer.tell(f"hint: {words.strip()}")
    assert capsys.readouterr().err == f"hint: {words.strip()}\n"


def test_no_figure_of_a_table_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    monkeypatch.setenv("COLUMNS", "60")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("figures", "more figures", "words"):
        table.add_column(name, no_wrap=name != "words")
    table.add_row("1" * 30, "2" * 40, "words " * 20)
    printer.show_table(table)
    lines = capsys.readouterr().out.splitlines()
    assert "1" * 30 in lines[2] and "2" * 40 in lines[2] and "\u2026" not in "".join(lines)
    assert all(line == line.rstrip() and line for line in lines)


def test_strings_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("[bold]head", title="[red]title[/red]")
    for name in NAMES:
        table.add_row(name)
    printer.show_table(table)
    printer.say_in_color("[/] [bold]x\x1b[2J:bomb:", "red")
    shown = capsys.readouterr().out
    check_fit(shown)
    assert "[bold]head" in shown and "[red]title[/red]" in shown and ":bomb:" in shown
    assert "[/] [bold]x\\x1b[2J:bomb:\n" in shown


def test_commands_to_a_ci_are_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    printer.tell_commands(["::error file=a::b\x1b[2J##[x]\n::error::c"])
    assert capsys.readouterr().err == "::error file=a::b\\x1b[2J#\\#[x] ::error::c\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stdout_is_an_error_and_a_full_stderr_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdout", file)
        with pytest.raises(StorageError, match="cannot write to stdout: No space left on device"):
            printer.say("x")
    with Path("/dev/full").open("w", encoding="utf-8", buffering=1) as file:
        monkeypatch.setattr("sys.stderr", file)
        printer.tell("x")
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


STDOUT = "from edge_scnet.cli.root import main; import os, sys; {0}; main()"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "command", ["targets", "targets --json", "--help", "--version", "build --help"]
)
def test_stdout_that_is_full_or_gone(cli_process: Run, command: str) -> None:
    for before, code, words in (
        ("os.dup2(os.open('/dev/full', os.O_WRONLY), 1)", 9, "cannot write to stdout: No space"),
        ("r, w = os.pipe(); os.close(r); os.dup2(w, 1)", 0, ""),
        ("os.close(1); sys.stdout = None", 9, "stdout is closed"),
    ):
        outcome = cli_process(*command.split(), code=STDOUT.format(before))
        assert outcome.code == code, outcome.stderr
        assert words in outcome.stderr and "Traceback" not in outcome.stderr
        assert "Exception ignored" not in outcome.stderr


def test_stdout_that_cannot_spell_a_name(cli_process: Run) -> None:
    says = "from edge_scnet.cli import printer; main = lambda: printer.say('\\u4e2d')"
    outcome = cli_process(code=STDOUT.format(says), env={"PYTHONIOENCODING": "ascii:strict"})
    assert (outcome.code, outcome.stdout) == (0, "\\u4e2d\n")
