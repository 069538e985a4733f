"""How a run ends: a closed pipe, a bug, an interrupt."""

from __future__ import annotations

import pytest

from edge_scnet import __version__
from tests.helpers.tool import Outcome, Run


def test_a_closed_pipe_is_no_error(cli_process: Run) -> None:
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); from edge_scnet.cli.root"
        " import main; main()"
    )
    assert cli_process("doctor", "--json", code=code) == Outcome(0, "", "")


def test_a_bug_names_its_place_and_the_versions(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr("edge_scnet.machine.environment.collect", broken)
    outcome = invoke("doctor")
    assert outcome.code == 1 and outcome.stdout == ""
    assert "this is a bug: ZeroDivisionError: by design (test_guard.py:" in outcome.stderr
    assert (
        f"edge-scnet {__version__}, Python" in outcome.stderr and "Traceback" not in outcome.stderr
    )
    assert "EDGE_SCNET_TRACEBACK=1" in outcome.hint
    monkeypatch.setenv("EDGE_SCNET_TRACEBACK", "1")
    assert "Traceback" in invoke("doctor").stderr


def test_an_interrupt_that_a_native_import_wraps_is_an_interrupt(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def importing() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("edge_scnet.machine.environment.collect", importing)
    outcome = invoke("doctor")
    assert (outcome.code, outcome.stdout) == (130, "")
    assert (
        outcome.stderr
        == "\ninterrupted: finished stages are kept, the next run goes on from there\n"
    )
