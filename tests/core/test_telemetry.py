"""Telemetry of the runtimes: off in processes of our own, and while ours imports a runtime."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edge_scnet.core import telemetry
from edge_scnet.core.child_process import start_python
from edge_scnet.core.optional import require

VARIABLE = "ORT_DISABLE_TELEMETRY"
RUNTIME = f"import os\nTOLD = os.environ.get({VARIABLE!r})\n"
ASKS = "try:\n    import openvino_telemetry\nexcept ImportError:\n    openvino_telemetry = None\n"


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither runtime was imported, nor its telemetry switched off."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)


def test_it_is_off_while_a_runtime_is_imported_and_as_it_was_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("")
    (tmp_path / "a_runtime.py").write_text(RUNTIME + ASKS)
    monkeypatch.syspath_prepend(tmp_path)
    module = require("a_runtime", extra="cpu")
    del sys.modules["a_runtime"]
    assert module.TOLD == "1" and module.openvino_telemetry is None
    # the process may be somebody's whose own programs are none of ours
    assert VARIABLE not in os.environ
    import openvino_telemetry

    assert openvino_telemetry is not None


def test_what_is_set_already_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", os)
    with telemetry.switched_off():
        assert os.environ[VARIABLE] == "1" and sys.modules["openvino_telemetry"] is os
    assert os.environ[VARIABLE] == "0" and sys.modules["openvino_telemetry"] is os


def test_children_are_without() -> None:
    reading, writing = os.pipe()
    with start_python("tests.helpers.processes:telemetry", writing, pass_fds=[writing]) as process:
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as pipe:
            assert pipe.read() == "1 hidden"
    assert process.returncode == 0
