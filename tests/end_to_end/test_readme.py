"""What the README and the page on the architecture say is true, and their commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec
import pytest
import typer

from edge_scnet.cli import root
from tests.helpers.tool import command_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
MOST_LINES, MOST_COLUMNS = 150, 120
# typer has click's exceptions, of a click of its own
UsageError = typer.BadParameter.__mro__[1]


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(page: str) -> list[str]:
    """The tool's command lines in code, inline or in blocks, comments aside."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    blocks = [body for kind, body in fenced.findall(page) if kind in ("", "sh")]
    indented = re.findall(r"^    (\S.*)$", page, re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", fenced.sub("", page))
    lines = [line for block in blocks for line in block.splitlines()] + indented + inline
    parts = [part.strip() for line in lines for part in line.split("&&")]
    named = r"(?:\.venv/bin/)?edge-scnet(?: |$)"
    return [part.partition("  #")[0].strip() for part in parts if re.match(named, part)]


def parse(line: str) -> None:
    """Parses a command line as the tool does, and runs nothing.

    Raises:
        UsageError: a command or an option that there is not; an argument that is missing.
    """
    command, arguments = command_of(root.app), shlex.split(line)[1:]
    context = None
    while hasattr(command, "commands"):
        if not arguments or arguments[0].startswith("-"):
            break
        name, found, arguments = command.resolve_command(
            command.context_class(command, parent=context), arguments
        )
        context = command.context_class(command, info_name=name, parent=context)
        command = found
    else:
        command.make_context(line, list(arguments), parent=context)


def test_it_is_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= MOST_LINES
    plain = re.sub(r"^```.*?^```$|<!--.*?-->", "", README, flags=re.MULTILINE | re.DOTALL)
    prose = [
        line for line in plain.splitlines() if not line.startswith("|") and "https://" not in line
    ]
    assert [line for line in prose if len(line) >= MOST_COLUMNS] == []


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *(ROOT / "docs/explanation").glob("*.md")],
    ids=lambda path: path.name,
)
def test_no_line_of_text_begins_with_a_comment(page: Path) -> None:
    """Markdown takes such a line for HTML, and ends the paragraph."""
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"^<!-- figure", text, re.MULTILINE)


def test_quick_start_has_two_commands_of_one_line_each() -> None:
    start = section(README, "Quick start")
    blocks = re.findall(r"^```\n(.*?)^```$", start, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2 and all(block.count("\n") == 1 for block in blocks)
    assert "edge-scnet build --target cpu" in blocks[0] and ".venv/bin/pytest" in blocks[1]


def test_ci_takes_the_test_command_from_the_quick_start() -> None:
    """`.ci/run` runs the second line in fences; no fence stands before or between the two."""
    inside = re.findall(r"^```.*?\n(.*?)^```$", section(README, "Quick start"), re.M | re.S)
    assert ".venv/bin/pytest" in "".join(inside).splitlines()[1]
    assert "README.md | sed -n 2p" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_extras_are_those_of_the_package() -> None:
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = {
        name for group in re.findall(r"-e [\"']\.\[([\w,]+)\]", README) for name in group.split(",")
    }
    assert named and named <= project["project"]["optional-dependencies"].keys()


def test_commands_are_found() -> None:
    assert {"build", "predict", "compile", "baseline", "check", "doctor"} <= {
        shlex.split(line)[1] for line in commands(README) if len(shlex.split(line)) > 1
    }


@pytest.mark.parametrize("line", commands(README))
def test_every_command_parses(line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    "line", ["edge-scnet biuld", "edge-scnet build --tarject cpu", "edge-scnet baseline updat"]
)
def test_a_command_that_there_is_not_is_found(line: str) -> None:
    with pytest.raises(UsageError):
        parse(line)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_what_it_links_to_exists(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize(("page", "anchor"), re.findall(r"\]\((docs/[^)#]+)#([^)]+)\)", README))
def test_anchors_of_its_links_exist(page: str, anchor: str) -> None:
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchor in slugs


def test_its_picture_is_small() -> None:
    assert (ROOT / "docs/assets/report-head.png").stat().st_size < 200_000


def packages() -> set[str]:
    return {path.parent.name for path in (ROOT / "edge_scnet").glob("*/__init__.py")}


def top_modules() -> set[str]:
    names = {path.stem for path in (ROOT / "edge_scnet").glob("*.py")}
    return {name for name in names if not name.startswith("__")}


def test_the_architecture_table_lists_the_packages() -> None:
    text = section(ARCHITECTURE, "Packages")
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == packages()
    top = text.partition("\nModules at the top ")[2]
    assert set(re.findall(r"`(\w+)\.py`", top)) == top_modules()


def test_the_picture_of_the_layers_is_the_import_contract() -> None:
    """A line of the page is a layer of pyproject.toml, __main__ and its like aside."""
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        contract
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    held = [re.findall(r"\b(?!__)\w+", layer) for layer in contract["layers"]]
    layers = section(ARCHITECTURE, "Layers")
    picture = re.search(r"^```text\n(.*?)^```$", layers, re.MULTILINE | re.DOTALL)
    assert picture is not None
    shown = [line.split(", ") for line in picture[1].splitlines()]
    assert shown == [layer for layer in held if layer]
    assert {name for layer in shown for name in layer} == packages() | top_modules()


@pytest.mark.parametrize("title", ["Packages", "Layers", "To add"])
def test_paths_of_the_architecture_exist(title: str) -> None:
    for path in re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?)`", section(ARCHITECTURE, title)):
        assert (ROOT / path).exists() or (ROOT / "edge_scnet" / path).exists(), path


def test_python_example_runs(
    built, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README's Python, with the session's build in place of a second one."""
    import edge_scnet
    from edge_scnet.core.manifest import load_manifest
    from edge_scnet.pipeline import build
    from edge_scnet.pipeline.result import BuildResult
    from edge_scnet.report.store import load_report

    result = BuildResult(
        folder=built.folder,
        manifest=load_manifest(built.folder),
        report=load_report(built.folder / "report.json"),
        exit_code=0,
    )
    monkeypatch.setattr(build, "build", lambda model, target: result)
    monkeypatch.chdir(ROOT)
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    exec(code[1], {"edge_scnet": edge_scnet})
    assert "Ankle boot" in capsys.readouterr().out


@pytest.mark.slow
def test_python_example_of_a_network_of_one_s_own_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    import edge_scnet

    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert code.count("\n") == 5
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3), torch.nn.Flatten()
    )
    exec(code, {"edge_scnet": edge_scnet, "torch": torch, "model": model})
    assert str(Path("build", "Sequential", "cpu", "model.xml")) in capsys.readouterr().out


def test_no_placeholder_is_left() -> None:
    assert "@@" not in README
