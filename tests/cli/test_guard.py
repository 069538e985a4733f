"""How a run ends: a closed pipe, a bug, an interrupt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_scnet import __version__, errors
from edge_scnet.errors import EdgeError, ExitCode
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
    codes = [kind.exit_code for kind in KINDS]
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
