"""The bundle's script where it builds each plan several times, to keep the fastest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_scnet.compile.script_plans import with_script_plans
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import PlanFacts
from tests.helpers.tensorrt import SHELLS
from tests.helpers.tool import Outcome

# Each build of INT8 has its own text and time, and the third one fails.
BUILDS = """
case "$*" in
*saveEngine=engine.plan.3.part*) echo "[E] Error: out of memory"; exit 1 ;;
*saveEngine=engine.plan.2.part*) echo second >engine.plan.2.part ;;
*loadEngine=engine.plan.1.part*) ms=2.0 ;;
*loadEngine=engine.plan.2.part*) ms=0.5 ;;
*loadEngine=engine.plan.4.part*) ms=4.0 ;;
esac
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_of_several_builds_the_fastest_by_trtexec_s_median_is_kept(
    shell: tuple[str, ...], script: Callable[..., tuple[Outcome, Path]]
) -> None:
    outcome, folder = script("100300", BUILDS, command=(*shell, "build.sh", "--builds", "4"))
    assert outcome.code == 0, outcome.stderr
    assert "trtexec: [E] Error: out of memory" in outcome.stderr
    assert "build 3 of 4 of engine.plan is not kept" in outcome.stderr
    assert "build 2 of 4 of engine.plan is kept: 0.5 ms, the slowest 4.0 ms" in outcome.stdout
    assert (folder / "engine.plan").read_text() == "second\n"
    board = json.loads((folder / "board.json").read_text())
    assert board["int8_builds_ms"] == [2.0, 0.5, None, 4.0]
    assert board["fp16_builds_ms"] == [2.0] * 4
    calls = (folder / "calls").read_text().splitlines()
    built = [line for line in calls if "--onnx=engine.onnx" in line]
    # the first one reads the timing cache; with it all would be the same
    assert ["--timingCacheFile" in line for line in built] == [True, False, False, False]
    timed = [line.split()[0] for line in calls if "loadEngine=engine.plan." in line]
    numbers = [int(word.split(".")[-2]) for word in timed]
    assert numbers == [1, 2, 4, 4, 2, 1, 1, 2, 4]
    assert all("--useCudaGraph" in line for line in calls if "loadEngine=engine.plan." in line)
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".part")]
    # the plans that lie there are told with their builds
    plans = with_script_plans(BuildFolder.open(folder))
    found = plans.facts("engine.plan", PlanFacts).builds
    assert found is not None and (found.count, found.kept) == (4, 2)
    assert found.time_ratios == (1.0, 0.25, None, 2.0) and found.timed_by == "trtexec 10.3.0"
    # without the option the next run tells of none
    again, _ = script("100300", command=(*shell, "build.sh"))
    assert again.code == 0, again.stderr
    assert "int8_builds_ms" not in json.loads((folder / "board.json").read_text())


def test_how_often_it_builds_may_stand_in_the_environment(
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    outcome, folder = script("110401", BUILDS="2")
    assert outcome.code == 0, outcome.stderr
    assert json.loads((folder / "board.json").read_text())["int8_builds_ms"] == [1.0, 1.0]
    for arguments, words in (
        (("--builds",), "--builds is ''; a whole number from 1 to 100 is needed"),
        (("--builds=0",), "--builds is '0'"),
        (("--builds", "2x"), "--builds is '2x'"),
        (("--builds=101",), "--builds is '101'"),
        (("--fast",), "there is no option --fast"),
    ):
        wrong, _ = script("110401", command=("sh", "build.sh", *arguments))
        assert wrong.code == 2 and words in wrong.stderr and "--builds 3" in wrong.hint


def test_where_the_first_of_several_builds_fails_it_ends(
    script: Callable[..., tuple[Outcome, Path]],
) -> None:
    failing = 'case "$*" in *saveEngine=engine*) echo "[E] Error: no kernel"; exit 1 ;; esac'
    outcome, folder = script("100300", failing, command=("sh", "build.sh", "--builds=2"))
    assert outcome.code == 8 and "no kernel" in outcome.stderr
    assert not (folder / "results.tar.gz").exists()
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".part")]
