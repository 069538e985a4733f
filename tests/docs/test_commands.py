"""Every `edge-scnet` line of the pages names a command there is, and options that it takes.

Nothing runs: the lines are held to the tree of commands.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.cli.root import app
from tests.helpers.tool import command_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)(`{3,})[ ]*([\w-]*)[^\n]*\n(.*?)^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
# what programs print, and other languages: a line of them need not be a command
PRINTED = {"text", "json", "toml", "python", "py", "cpp", "c", "dockerfile", "ini", "mermaid"}
STARTS = re.compile(r"(?:^|[\s;&|(\"'`])(?:[\w./-]*bin/)?edge-scnet[ \t]+(?=\S)")
ENDS = {"|", ">", ">>", "<", "&", "&&", "||", ";", "2>", "#"}
TREE: Any = command_of(app)


def lines(text: str) -> Iterator[str]:
    """The command lines of a page, each from what stands behind `edge-scnet`."""
    prose = FENCE.sub("", text)
    blocks = [body for _, _, language, body in FENCE.findall(text) if language not in PRINTED]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        parts = STARTS.split(line.partition(" # ")[0])
        yield from parts[1:]
    names = "|".join(sorted(TREE.commands))
    for quoted in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
        code = " ".join(quoted.split())
        yield from STARTS.split(code)[1:]
        if re.match(rf"(?:{names}) .*--", code):  # `check --build`, as prose shortens it
            yield code


def words(line: str) -> list[str]:
    """A line's words, up to where the shell ends the command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    found: list[str] = []
    try:
        for word in lexer:
            if word in ENDS:
                break
            found.append(word)
    except ValueError:  # a quote that another command's line closes: bash -c '...'
        return found
    return found


def fault(line: str) -> str | None:
    """What of a command line the tool does not know; None: nothing."""
    rest = words(line)
    command = TREE
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name.isupper() or name in ("...", "[OPTIONS]"):  # stands for any command
            return None
        if name not in command.commands:
            return f"no command {name!r}"
        command = command.commands[name]
    known = {"--help", "-h"}
    for parameter in command.params:
        if parameter.param_type_name == "option":
            known.update(parameter.opts, parameter.secondary_opts)
    for word in rest:
        option = word.partition("=")[0]
        if re.match(r"--?[A-Za-z]", option) and option not in known:
            return f"no option {option} of {command.name}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_line_names_what_there_is(page: Path) -> None:
    wrong = [
        f"edge-scnet {line.strip()}: {found}"
        for line in lines(page.read_text(encoding="utf-8"))
        if (found := fault(line))
    ]
    assert not wrong, "\n".join(wrong)


def test_lines_are_found_in_blocks_and_in_prose() -> None:
    page = (
        "```sh\n$ edge-scnet build net.onnx \\\n    --target cpu  # as above\n"
        "pip install x && .venv/bin/edge-scnet doctor\n```\n"
        "Then `edge-scnet check --build`, or `check\n--explain`; never `yolo export --x`.\n"
        "```text\nedge-scnet 0.1.0\n```\n"
    )
    assert [words(line) for line in lines(page)] == [
        ["build", "net.onnx", "--target", "cpu"],
        ["doctor"],
        ["check", "--build"],
        ["check", "--explain"],
    ]


def test_the_pages_have_some() -> None:
    found = [line for page in PAGES for line in lines(page.read_text(encoding="utf-8"))]
    assert len(found) > 60


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bild net.onnx", "no command 'bild'"),
        ("build net.onnx --targt cpu", "no option --targt of build"),
        ("baseline renew", "no command 'renew'"),
        ("check --search 60 | tee log", "no option --search of check"),
        ("profile A B --interleave -v", "no option -v of profile"),
        ("build --mean=-0.5 --pad-value -1 > log --x", None),
        ("baseline update --build --accept 'trained anew'", None),
        ("COMMAND --help", None),
        ("--version", None),
    ],
)
def test_what_is_not_there_is_named(line: str, said: str | None) -> None:
    assert fault(line) == said
