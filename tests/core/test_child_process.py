"""Functions in Python processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from edge_scnet.core.child_process import cause_of_end, start_python


def test_a_function_gets_its_arguments_and_the_parents_path(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with start_python("tests.helpers.processes:report", writing, 7, pass_fds=[writing]) as process:
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as pipe:
            number, group, module = pipe.read().split()
    assert process.returncode == 0 and int(number) == 7
    assert int(group) == process.pid, "it leads a process group: Ctrl-C does not reach it"
    assert Path(module) == Path(__file__).parents[1] / "helpers" / "processes.py"


def test_its_words_can_be_read_and_its_end_is_told() -> None:
    with start_python("tests.helpers.processes:crash", stderr=subprocess.PIPE) as process:
        pass
    assert process.returncode == -signal.SIGSEGV
    assert cause_of_end(process.returncode) == "signal SIGSEGV"


def test_it_does_not_import_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong file')\n")
    monkeypatch.chdir(tmp_path)
    with start_python("random:random") as process:
        pass
    assert process.returncode == 0


def test_an_exit_code_is_told_as_it_is() -> None:
    assert cause_of_end(3) == "exit code 3"
