"""How a run ends: a closed pipe, a bug, an interrupt."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_scnet import __version__, errors
from edge_scnet.errors import EdgeError, ExitCode
from tests.helpers import folders
from tests.helpers.graphs import tiny_onnx
from tests.helpers.tool import Outcome, Run

Doctor = Callable[[Callable[[], None]], Outcome]


def test_a_closed_pipe_is_no_error(cli_process: Run) -> None:
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); from edge_scnet.cli.root"
        " import main; main()"
    )
    assert cli_process("doctor", "--json", code=code) == Outcome(0, "", "")


@pytest.fixture
def doctor(invoke: Run, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Runs `doctor` with a function in place of its first step."""

    def run(step: Callable[[], None]) -> Outcome:
        monkeypatch.setattr("edge_scnet.machine.environment.collect", step)
        return invoke("doctor")

    return run


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EdgeError) and kind is not EdgeError
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_a_message_a_hint_and_the_exit_code_of_its_kind(
    doctor: Doctor, kind: type[EdgeError]
) -> None:
    def failing() -> None:
        raise kind("model.xml\n::error::a command\x1b[2J of the log", hint="edge-scnet doctor")

    outcome = doctor(failing)
    assert (outcome.code, outcome.stdout) == (kind.exit_code, "")
    # what a terminal or a CI's log would obey is escaped: GitHub's skips the spaces before "::"
    message = "error: model.xml\n  \\::error::a command\\x1b[2J of the log\n"
    assert outcome.stderr == f"{message}\nhint: edge-scnet doctor\n"


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    # of a kind of another kind it is that of the other: DeviceError
    codes = [kind.exit_code for kind in KINDS if "exit_code" in vars(kind)]
    assert len(set(codes)) == len(codes)
    assert set(codes) == {code for code in ExitCode if 3 <= code <= 9}


def test_input_and_output_that_fails_is_storage(doctor: Doctor) -> None:
    def failing() -> None:
        raise OSError(28, "No space left on device", "/data/model.xml")

    outcome = doctor(failing)
    assert outcome.code == 9
    assert "input or output failed /data/model.xml: No space left on device" in outcome.stderr


def test_a_bug_names_its_place_and_the_versions(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by design")

    outcome = doctor(broken)
    assert outcome.code == 1 and outcome.stdout == ""
    assert "this is a bug: ZeroDivisionError: by design (test_guard.py:" in outcome.stderr
    assert (
        f"edge-scnet {__version__}, Python" in outcome.stderr and "Traceback" not in outcome.stderr
    )
    assert "EDGE_SCNET_TRACEBACK=1" in outcome.hint
    monkeypatch.setenv("EDGE_SCNET_TRACEBACK", "1")
    assert "Traceback" in doctor(broken).stderr


def test_an_interrupt_that_a_native_import_wraps_is_an_interrupt(doctor: Doctor) -> None:
    def importing() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    outcome = doctor(importing)
    assert (outcome.code, outcome.stdout) == (130, "")
    assert (
        outcome.stderr
        == "\ninterrupted: finished stages are kept, the next run goes on from there\n"
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("build", "", "--json"), "an argument is empty: is a shell variable not set?"),
        (("build", "--out", "", "--json"), "an argument of --out is empty"),
        (("build", "--eval=", "--json"), "an argument of --eval is empty"),
        (("build", "--qdq", "", "--json"), "an argument of --qdq is empty"),
    ],
)
def test_an_empty_argument_is_refused(invoke: Run, command: tuple[str, ...], words: str) -> None:
    outcome = invoke(*command)
    assert outcome.code == 2 and words in outcome.stderr
    shown = json.loads(outcome.stdout)
    assert words in shown["error"] and shown["exit_code"] == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0", "the least is 0.1, found '0'"),
        ("nan", "found 'nan'"),
        ("3601", "the most is 3600, found '3601'"),
        ("x", "a number is needed, found 'x'"),
    ],
)
def test_a_value_out_of_range_is_told(invoke: Run, value: str, words: str) -> None:
    for given in ((f"--seconds={value}",), ("--seconds", value)):
        outcome = invoke("build", *given)
        assert outcome.code == 2 and "--seconds" in outcome.stderr and words in outcome.stderr


def test_a_failure_is_json_where_json_was_asked_for(invoke: Run, doctor: Doctor) -> None:
    outcome = invoke("report", "none.json", "--json")
    assert outcome.code == 6 and "error: no report at none.json" in outcome.stderr
    assert json.loads(outcome.stdout) == {
        "schema": 1,
        "kind": "failure",
        "error": "no report at none.json",
        "hint": outcome.hint,
        "exit_code": 6,
    }
    assert json.loads(invoke("build", "--batc", "3", "--json").stdout)["exit_code"] == 2
    assert invoke("report", "none.json").stdout == ""


def test_a_name_that_is_too_long_is_no_matter_of_the_disk(invoke: Run) -> None:
    outcome = invoke("report", "a" * 300)
    assert outcome.code == 6 and "a name has 255 bytes at most" in outcome.stderr
    assert "df -h" not in outcome.hint


@pytest.mark.parametrize("name", ["a" * 300, "/".join(["a" * 200] * 25)], ids=["name", "path"])
def test_a_place_whose_name_is_too_long_is_none(invoke: Run, name: str, tmp_path: Path) -> None:
    net, prepared = tiny_onnx(tmp_path / "net.onnx"), ("--mean", "0", "--std", "1")
    for code, command in (
        (4, ("data", "check", net, *prepared, "--calib", name)),
        (4, ("data", "check", net, *prepared, "--eval", f"{name}?read=a:b")),
        (4, ("predict", folders.float_build(tmp_path / "build", folders.identity()), name)),
        (3, ("show", "--project", name)),
        (3, ("show", f"--project={name}")),
        (3, ("show", net, *prepared, "--target", f"{name}.toml")),
        (6, ("build", f"{name}.onnx", *prepared)),
    ):
        outcome = invoke(*command)
        assert outcome.code == code, outcome.stderr
        assert outcome.hint and "df -h" not in outcome.hint


def test_a_model_that_is_no_file_is_told_as_what_it_is(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "it is a folder" in invoke("show", tmp_path / "folder.onnx").stderr
    for command in ("show", "inspect"):
        assert "not a regular file" in invoke(command, tmp_path / "pipe.onnx").stderr


def test_an_unknown_model_is_refused_without_torch(cli_process: Run) -> None:
    code = "import sys; sys.modules['torch'] = None; from edge_scnet.cli.root import main; main()"
    outcome = cli_process("build", "nope", code=code)
    assert outcome.code == 6 and "unknown model 'nope'" in outcome.stderr


EARLY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, signal.default_int_handler)
from edge_scnet.cli import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "edge_scnet.cli.root", "edge_scnet.report.store"])
def test_ctrl_c_while_modules_are_imported(cli_process: Run, module: str) -> None:
    outcome = cli_process("report", "none.json", code=EARLY.format(module=module))
    assert outcome.code == 130 and "Traceback" not in outcome.stderr
    assert "interrupted" in outcome.stderr
