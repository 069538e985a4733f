"""The command `package`: what it prints, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_scnet.package import FORMATS
from edge_scnet.package.form import format_named
from tests.cli.test_root import _LIST_MODULES, imported
from tests.helpers.packages import findings, ir_build
from tests.helpers.tool import Run


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return ir_build(tmp_path / "build")


def test_it_lists_what_it_wrote(build: Path, tmp_path: Path, invoke: Run) -> None:
    out = tmp_path / "out"
    outcome = invoke("package", build, "--for", "python", "--out", out)
    assert (outcome.code, outcome.stderr) == (0, "")
    first, *names, last = outcome.stdout.splitlines()
    assert first == f"{out}: {build}/model.xml for python"
    assert [name.strip() for name in names] == sorted(path.name for path in out.iterdir())
    assert last == f"how to run it: {out}/README.md"


def test_json(build: Path, tmp_path: Path, invoke: Run) -> None:
    outcome = invoke("package", build, "--for", "python", "--out", tmp_path / "out", "--json")
    content = json.loads(outcome.stdout)
    assert (content["kind"], content["form"], content["held_back"]) == ("package", "python", None)
    assert "run.py" in content["files"]


def test_what_did_not_ship_needs_a_word(tmp_path: Path, invoke: Run) -> None:
    build = ir_build(tmp_path / "build", judged_by=findings("fail"))
    asked = ("package", build, "--for", "python", "--out", tmp_path / "out")
    outcome = invoke(*asked)
    assert (outcome.code, outcome.stdout) == (6, "")
    assert "did not ship: do not ship: Accuracy: fail." in outcome.stderr
    assert outcome.hint.endswith("--anyway")
    outcome = invoke(*asked, "--anyway")
    assert outcome.code == 0 and outcome.stderr.startswith("warning: this engine did not ship")


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("--for", "pythn"), 2, "did you mean python?"),
        (("--for", "zip"), 2, f"'zip' is none of {', '.join(FORMATS)}"),
        (("--out", "build"), 9, "is not empty"),
        (("build/absent.xml",), 6, "no such file or folder"),
        (("build/model.bin",), 6, "is not an engine of its manifest"),
        ((".",), 6, "manifest.json is missing"),
    ],
)
def test_what_cannot_be_packaged_is_one_error(
    build: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    invoke: Run,
    change: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = {"": "build", "--for": "python", "--out": "out"}
    asked |= {change[0]: change[1]} if change[1:] else {"": change[0]}
    options = (word for option in ("--for", "--out") for word in (option, asked[option]))
    outcome = invoke("package", asked[""], *options)
    assert outcome.code == code and outcome.stdout == ""
    assert words in outcome.stderr and "Traceback" not in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_a_readme_and_says_what_it_is(
    build: Path, tmp_path: Path, invoke: Run, form: str
) -> None:
    made = format_named(form)
    assert made.name == form
    if "openvino" not in made.runtimes:
        pytest.skip(f"{form} is for {', '.join(made.runtimes)}")
    outcome = invoke("package", build, "--for", form, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.startswith(f"# net: {made.title}\n") and len(text.splitlines()) <= 40


@pytest.mark.slow
def test_it_imports_neither_torch_nor_a_runtime(
    build: Path, tmp_path: Path, cli_process: Run
) -> None:
    for form in FORMATS:
        asked = ("package", build, "--for", form, "--out", tmp_path / form)
        outcome = cli_process(*asked, code=_LIST_MODULES)
        # deepstream is refused: the build is not for TensorRT
        assert outcome.code == (6 if form == "deepstream" else 0)
        assert not imported(outcome) & {"torch", "onnx", "onnxruntime", "openvino", "PIL"}
