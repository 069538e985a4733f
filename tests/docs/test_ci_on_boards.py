"""docs/how-to/ci-on-boards.md: its workflows are YAML, keep strangers out, name what is made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from edge_scnet.devices.device import find_devices
from edge_scnet.report.fleet_page import FLEET_PAGE

PAGE = (Path(__file__).parents[2] / "docs/how-to/ci-on-boards.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def workflows() -> dict[str, dict[Any, Any]]:
    return {made["name"]: made for made in map(yaml.safe_load, blocks("yaml")) if "name" in made}


def test_no_pull_request_runs_on_a_board_and_jobs_of_one_board_take_turns() -> None:
    assert len(workflows()) == 2
    for made in workflows().values():
        assert set(made[True]) == {"push", "workflow_dispatch"}, "YAML reads on as true"
        assert made["permissions"] == {"contents": "read"}
    board = workflows()["INT8 on boards"]["jobs"]["board"]
    assert board["concurrency"] == "board-${{ matrix.board }}"
    assert board["strategy"]["fail-fast"] is False
    assert workflows()["INT8 on the fleet"]["concurrency"] == "boards"
    gitlab = next(made for made in map(yaml.safe_load, blocks("yaml")) if "board" in made)
    assert gitlab["board"]["resource_group"] == "board-$BOARD"
    for job in gitlab.values():
        assert job["rules"] == [{"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}]


def test_the_fleets_devices_and_files_are_what_the_tool_reads_and_writes(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "devices.toml").write_text(text)
    steps = workflows()["INT8 on the fleet"]["jobs"]["fleet"]["steps"]
    script = " ".join(step.get("run", "") for step in steps)
    (words,) = set(re.findall(r"--device (\S+)", script))
    assert [device.name for device in find_devices(words, folder=tmp_path)] == ["orin-1", "orin-2"]
    uploaded = next(step["with"]["path"] for step in steps if "upload" in step.get("uses", ""))
    assert f"build/{FLEET_PAGE}" in uploaded.split()
    assert '--junit "check$name.xml"' in script and "check@*.xml" in uploaded.split()
