"""`sensitivity`, and a build that misses its limit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.config.target import load_target
from edge_scnet.models import zoo
from edge_scnet.pipeline import measuring, search
from edge_scnet.report.verdict import judge
from edge_scnet.sensitivity.noise import Sensitivities
from edge_scnet.sensitivity.result import Candidate, SearchResult
from tests.helpers.tool import Built, Outcome


def test_the_command_measures_engines_and_prints_the_lines_for_a_target(
    invoke: Callable[..., Outcome], built: Built, tmp_path: Path
) -> None:
    target = tmp_path / "quick.toml"
    target.write_text(
        'title = "t"\nwhy = "w"\nruntime = "openvino"\ndevice = "CPU"\nprecision = "int8"\nisa ='
        ' "avx2"\nopset = 20\n[quant]\nplacement = "openvino"\nrounding = "nearest"\nkeep_float ='
        ' ["layer1.*", "layer2.*", "layer3.0.*", "layer3.1.conv1_*", "layer3.1.k1.*"]\n'
    )
    # the same export and statistics, for another target
    shutil.copytree(built.folder, tmp_path / zoo.DEFAULT_MODEL / "quick")
    arguments = [
        "sensitivity",
        "--target",
        str(target),
        "--calib",
        str(built.calib),
        "--out",
        str(tmp_path),
    ]
    plain = invoke(*arguments)
    assert plain.code == 0 and "of the noise" in plain.stdout and "layer3.1.conv3" in plain.stdout
    found = invoke(*arguments, "--gain", "1", "--budget", "60", "--json")
    assert found.code == 0, found.stderr
    result = json.loads(found.stdout)
    assert (
        result["chosen"]["keep_float"]
        and result["chosen"]["sqnr_db"] >= result["candidates"][0]["sqnr_db"] + 1
    )
    folder = tmp_path / zoo.DEFAULT_MODEL / "quick"
    assert json.loads((folder / "sensitivity.json").read_text())["finished"] in (True, False)
    assert (folder / "pareto.png").read_bytes()[:4] == b"\x89PNG"
    shown = invoke(*arguments, "--gain", "1", "--budget", "1")
    assert f"keep_float = {json.dumps(result['chosen']['keep_float'])}" in shown.stdout
    impossible = invoke(*arguments, "--min-sqnr", "190", "--budget", "1")
    assert impossible.code == 10


def test_keep_float_of_a_search_names_modules_literally() -> None:
    target = search.with_float(load_target("cpu"), ["a[0]"])
    assert target.quant.keep_float == ("a[[]0]",)
    assert replace(target, quant=replace(target.quant, keep_float=())) == load_target("cpu")


def test_a_drop_that_the_images_cannot_show_is_refused_before_anything_runs(
    invoke: Callable[..., Outcome], built: Built, tmp_path: Path
) -> None:
    common = ["--calib", str(built.calib), "--out", str(tmp_path)]
    for arguments in (
        ["sensitivity", "--max-drop", "0.5"],
        ["build", "--eval", str(built.evaluation), "--max-drop", "0.5", "--search", "10"],
    ):
        outcome = invoke(*arguments, *common)
        assert outcome.code == 4, outcome.stderr
        assert (
            "120 calibration images show a drop of at most 2.2" in outcome.stderr
            and "needed: about 5" in outcome.stderr
        )
        assert "export" not in outcome.stderr.partition("error:")[0] and "--gain 3" in outcome.hint


def test_a_build_that_misses_its_limit_is_searched_and_built_anew(
    copied: Built,
    eval_20: Path,
    invoke: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the images of this test are too few to show a real drop: the search is given what it would
    # have found

    chosen = Candidate(
        keep_float=("conv1",),
        sqnr_db=40.0,
        drop_upper95_pp=0.1,
        time_ratio=1.01,
        time_low=None,
        time_high=None,
    )
    found = SearchResult(
        sensitivities=Sensitivities(noise=1.0, modules=(), images=1),
        candidates=(chosen,),
        chosen=chosen,
        seconds=1.0,
        finished=True,
    )
    monkeypatch.setattr(search, "search_job", lambda *_, **__: found)
    monkeypatch.setattr(search, "check_provable", lambda *_: None)
    # a machine on which INT8 is the slower one ends with another exit code, and does not search
    monkeypatch.setattr(
        measuring,
        "judge",
        lambda rows, target: [f for f in judge(rows, target) if f.metric != "speed"],
    )
    outcome = invoke(
        "build",
        "--calib",
        copied.calib,
        "--eval",
        eval_20,
        "--out",
        copied.folder.parents[1],
        "--seconds",
        "0.1",
        "--max-drop",
        "0.01",
        "--search",
        "5",
        "--json",
    )
    assert outcome.code in (10, 13), outcome.stderr
    assert "1 modules stay in float to keep the limit: conv1" in outcome.stderr
    int8 = json.loads(outcome.stdout)["engines"][-1]
    assert int8["convolutions"] == {"u8": 45, "f32": 1}
