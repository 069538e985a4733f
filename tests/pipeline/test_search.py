"""`sensitivity`, and a build that misses its limit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.spec import TaskSpec
from edge_scnet.data.sample_set import in_memory as set_of
from edge_scnet.errors import DataError, TargetError
from edge_scnet.models import zoo
from edge_scnet.pipeline import build, measuring, search, search_task
from edge_scnet.report.verdict import judge
from edge_scnet.runtimes import in_memory, runtime_named
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.result import Candidate, Limit, SearchResult
from tests.helpers.tensorrt import ORIN, on_board
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
            and "needed: 5" in outcome.stderr
        )
        assert "export" not in outcome.stderr.partition("error:")[0] and "--gain 3" in outcome.hint


def test_the_images_that_a_limit_needs_are_told() -> None:
    assert search.images_needed(10_000, 0.5) is None
    needed = search.images_needed(320, 0.5)
    assert needed is not None and search.images_needed(needed, 0.5) is None
    assert search.images_needed(needed - 1, 0.5) == needed
    assert search.images_needed(320, 0.0) == 0


def test_a_search_of_classes_that_the_export_tells_is_refused_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job: Any = SimpleNamespace(calibration=range(120))
    monkeypatch.setattr(search, "task_of", lambda job: None)
    with pytest.raises(DataError, match="120 calibration images show a drop") as caught:
        search.check_told(job, Limit(max_drop_pp=0.5))
    assert "sensitivity MODEL --gain 3" in str(caught.value.hint)
    monkeypatch.setattr(search, "task_of", lambda job: TaskSpec(kind="features"))
    search.check_told(job, Limit(max_drop_pp=0.5))


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


@pytest.mark.slow
def test_on_a_board_the_engines_of_a_search_are_plans_of_the_form_that_tensorrt_reads(
    copied: Built, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    on_board(monkeypatch, ORIN, "10.3.0.30")
    monkeypatch.setattr("edge_scnet.runtimes.in_turn._BLOCK_S", 0.0)
    text = Path("targets/jetson.toml").read_text().replace("opset = 19", "opset = 20")
    quick = 'rounding = "nearest"\nbias_correction = false\nkeep_float = ["layer[12].*"]\n'
    assert 'placement = "tensorrt"\n' in text
    text = text.replace('placement = "tensorrt"\n', f'placement = "tensorrt"\n{quick}')
    (tmp_path / "board.toml").write_text(text)
    copied.folder.rename(copied.folder.with_name("board"))  # the same export and statistics
    forms: list[set[int]] = []
    caches: list[Path] = []

    def plan_of(form: Path) -> in_memory.Engine:
        graph = onnx.load(form).graph
        forms.append({tensor.data_type for tensor in graph.initializer})
        caches.append(form.parent)

        def compute(batch: np.ndarray) -> list[np.ndarray]:
            return [np.tile(np.float32(range(10)), (len(batch), 1))]

        return in_memory.Engine(compute=compute, input_shape=(1, 1, 28, 28))

    arguments = ["--calib", copied.calib, "--out", copied.folder.parents[1], "--budget", "1"]
    command = ["sensitivity", "--target", tmp_path / "board.toml", *arguments, "--gain", "3"]
    with in_memory.registered(
        in_place_of="tensorrt", compiler=plan_of, packages={"TensorRT": "10.3.0.30"}
    ):
        outcome = invoke(*command, "--json")
    # these plans compute nothing of use: no mix keeps the limit
    assert outcome.code == 10, outcome.stderr
    assert json.loads(outcome.stdout)["candidates"]
    assert forms and all(onnx.TensorProto.FLOAT16 in types for types in forms)
    # one folder, with one timing cache, for all
    assert len(set(caches)) == 1


def test_a_search_of_plans_is_refused_on_a_board_where_they_do_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = load_target("jetson")
    # off the board its engines are simulated
    search.check_measurable(target, runtime_named("tensorrt"))
    on_board(monkeypatch, ORIN, "10.3.0.30")
    with (
        in_memory.registered(
            in_place_of="tensorrt", missing_to_run="no GPU", packages={"TensorRT": "10.3.0.30"}
        ) as runtime,
        pytest.raises(TargetError, match="cannot run here: no GPU"),
    ):
        search.check_measurable(target, runtime)
    search.check_measurable(load_target("cpu"), runtime_named("openvino"))


def test_a_mix_that_leaves_nothing_in_int8_is_none() -> None:
    modules = tuple(ModuleNoise(node=name, share=0.5, multiply_adds=1) for name in "ab")
    found = SearchResult(
        sensitivities=Sensitivities(noise=1.0, modules=modules, images=1),
        candidates=(),
        chosen=None,
        seconds=1.0,
        finished=True,
    )
    assert not search.is_all_float(found)
    assert "none keeps the limit" in build._without_mix(found)
    for keep, is_all in ((("a",), False), (("a", "b"), True)):
        chosen = Candidate(
            keep_float=keep,
            sqnr_db=40.0,
            drop_upper95_pp=0.1,
            time_ratio=1.1,
            time_low=None,
            time_high=None,
        )
        assert search.is_all_float(replace(found, chosen=chosen)) is is_all
    assert "all 2 modules in float" in build._without_mix(replace(found, chosen=chosen))


def test_engines_that_were_judged_by_another_drop_are_judged_anew() -> None:
    """Of a task the file of a search holds whether each engine is within the limits."""
    job = SimpleNamespace(
        calibration=set_of(np.zeros((5, 4), np.float32), "set"),
        evaluation=None,
        target=load_target("cpu"),
        source=SimpleNamespace(
            spec=replace(
                zoo.MODELS[zoo.DEFAULT_MODEL], input_shape=(4,), task=TaskSpec(kind="features")
            )
        ),
        folder=BuildFolder(path=Path(), manifest=SimpleNamespace(artifacts={})),
    )
    strict, loose = (search._limits_of(job, Limit(max_drop_pp=drop)) for drop in (1.0, 5.0))
    assert strict["gates"] != loose["gates"]
    of_the_target = Limit(max_drop_pp=job.target.gates.max_drop_pp)
    assert search._limits_of(job, None) == search._limits_of(job, of_the_target)


def test_samples_without_sizes_are_judged_by_a_task_too() -> None:
    """Arrays have no width and height; some of them are chosen."""
    samples = set_of(np.zeros((5, 4), np.float32), "set")
    job = SimpleNamespace(
        calibration=samples,
        source=SimpleNamespace(spec=replace(zoo.MODELS[zoo.DEFAULT_MODEL], input_shape=(4,))),
        folder=BuildFolder(path=Path(), manifest=SimpleNamespace(artifacts={})),
    )
    evaluator = search_task.evaluator_of(job, TaskSpec(kind="features"), [0, 2, 4])
    assert evaluator.task == "features"
