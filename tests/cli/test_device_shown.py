"""What is printed of a job on a device."""

from __future__ import annotations

import json

import pytest

from edge_scnet.cli.device_shown import Printed


def test_stdout_holds_one_object_where_a_job_was_lost_and_began_anew(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = Printed(as_json=True, quiet=False)
    printed.stdout(b'{"verdict": "of the lost one"}\n')
    printed.restart()
    printed.stdout(b'{"verdict": "ship"}\n')
    printed.end()
    assert json.loads(capsys.readouterr().out) == {"verdict": "ship"}
