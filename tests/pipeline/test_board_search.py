"""`build --search-on-board` and `compile bundle.tar.gz --search`: the mix by the time of plans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import onnx
import pytest

from edge_scnet.compile import bundle, forms, reference, search_part
from edge_scnet.compile.search_part import SearchOnBoard
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import FormFacts, PlanFacts, QdqFacts, RangesFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import (
    BUNDLE,
    FLOAT_ONNX,
    FP16_FORM,
    FP16_PLAN,
    INT8_FORM,
    INT8_PLAN,
    QDQ_ONNX,
    RANGES,
    Artifact,
    load_manifest,
)
from edge_scnet.core.spec import TaskSpec
from edge_scnet.data.sample_set import in_memory as set_of
from edge_scnet.errors import DataError
from edge_scnet.graph.model import load, save
from edge_scnet.graph.run import run_onnx
from edge_scnet.pipeline import board_search
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.quantizer import ranges_file, recipe
from edge_scnet.runtimes import in_memory
from edge_scnet.runtimes.base import ExecutedLayer
from tests.helpers.float_graphs import conv, graph_of, named_node
from tests.helpers.folders import float_build
from tests.helpers.reports import qdq_facts
from tests.helpers.statistics import calibrated
from tests.helpers.tensorrt import JETSON, ORIN, on_board
from tests.helpers.tool import Outcome

# the modules of `_network`, and the one whose float is enough
_SEARCHED, _WORSE = ("a", "b"), "b"
LIMITED = replace(JETSON, gates=replace(JETSON.gates, max_drop_pp=3.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A bundle with the part for a search, and FP32's outputs for its samples."""

    bundle: Path
    # the same without that part
    bare: Path
    images: np.ndarray
    outputs: np.ndarray


def _network() -> onnx.ModelProto:
    """Two convolutions and a classifier, which stays in float."""
    nodes = [
        conv("input", "w1", "a"),
        named_node("Relu", ["a"], "r"),
        conv("r", "w2", "b"),
        named_node("Relu", ["b"], "s"),
        named_node("GlobalAveragePool", ["s"], "p"),
        named_node("Flatten", ["p"], "f"),
        named_node("Gemm", ["f", "w3"], "y"),
    ]
    weights = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 10)}
    return graph_of(nodes, weights, (1, 3, 8, 8))


@pytest.fixture(scope="module")
def searchable(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = float_build(
        tmp_path_factory.mktemp("searchable"), _network(), name="net", input_shape=(3, 8, 8)
    )
    images = np.random.default_rng(2).standard_normal((120, 3, 8, 8)).astype(np.float32)
    ranges = calibrated(folder / FLOAT_ONNX, images)
    ranges_file.save_ranges(ranges, folder / RANGES)
    model, samples = load(folder / FLOAT_ONNX), set_of(images, "calib")
    prepared = recipe.prepare(model, ranges, LIMITED.quant, weight_bits=8, images=images[:16])
    qdq = recipe.assemble(prepared).model
    made = forms.forms_of(model, qdq, ranges, LIMITED)
    manifest = replace(load_manifest(folder), target=asdict(LIMITED), floor="none")
    of_ranges = RangesFacts(
        images=120, skipped=0, tensors=1, set="calib", drift_median_percent=None, classes=0
    )
    for name, graph, facts in (
        (RANGES, None, of_ranges),
        (INT8_FORM, made.int8, FormFacts(precision="int8", kept_fp32=())),
        (FP16_FORM, made.fp16, FormFacts(precision="fp16", kept_fp32=())),
        (QDQ_ONNX, qdq, qdq_facts(int8_convolutions=_SEARCHED, int8_layers=_SEARCHED)),
    ):
        if graph is not None:
            save(graph, folder / name)
        stage = {RANGES: "calibrate", QDQ_ONNX: "quantize"}.get(name, "compile")
        manifest = manifest.with_artifact(
            Artifact(
                file=name,
                kind="onnx-form" if stage == "compile" else "onnx",
                stage=stage,
                sha256=sha256_file(folder / name),
                size_bytes=1,
                key="k",
                facts=facts,
            )
        )
    known = reference.make(folder / FLOAT_ONNX, folder / QDQ_ONNX, samples, manifest.model, batch=1)
    wanted = SearchOnBoard(task=TaskSpec(kind="classification"), max_drop_pp=3.0)
    whole = BuildFolder(path=folder, manifest=manifest)
    bare = bundle.write_bundle(whole, LIMITED, known, None).rename(folder / "bare.tar.gz")
    part = search_part.to_files(wanted, samples, manifest.model)
    bundle.write_bundle(whole, LIMITED, known, None, part)
    outputs = np.concatenate([run[0] for run in run_onnx(model, list(images[:, None]))])
    return Packed(bundle=folder / BUNDLE, bare=bare, images=images, outputs=outputs)


@pytest.fixture
def board(searchable: Packed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A board whose INT8 plans lose every tenth class while a module of them is in INT8."""
    on_board(monkeypatch, ORIN, "10.3.0.30")
    monkeypatch.setattr("edge_scnet.runtimes.in_turn._BLOCK_S", 0.0)
    monkeypatch.setattr("edge_scnet.runtimes.in_turn._ROUNDS", 6)
    monkeypatch.setattr("edge_scnet.pipeline.search.images_for_noise", lambda *_: 2)
    monkeypatch.setattr("edge_scnet.pipeline.search.installed", lambda name: False)
    place = {image.tobytes(): i for i, image in enumerate(searchable.images)}
    wrong = {"module": _WORSE, "stop": 0}
    compiled: list[Path] = []

    def plan_of(form: Path) -> in_memory.Engine:
        compiled.append(form)
        if wrong["stop"] and len(compiled) > wrong["stop"]:
            raise KeyboardInterrupt
        quantized = _quantized(form)
        is_wrong = wrong["module"] in quantized or (wrong["module"] == "any" and quantized)

        def compute(batch: np.ndarray) -> list[np.ndarray]:
            at = place[np.ascontiguousarray(batch[0]).tobytes()]
            row = searchable.outputs[at : at + 1] * np.float32(0.999)
            return [np.roll(row, 1, axis=1) if is_wrong and at % 10 == 1 else row]

        layers = [ExecutedLayer(kind="conv", precision="int8", nodes=(n,)) for n in quantized]
        # float takes longer
        seconds = 0.001 * (1 + len(_SEARCHED) - len(quantized))
        return in_memory.Engine(
            compute=compute,
            input_shape=(1, 3, 8, 8),
            layers=tuple(layers),
            graph_seconds=seconds,
        )

    with in_memory.registered(
        in_place_of="tensorrt", compiler=plan_of, packages={"TensorRT": "10.3.0.30"}
    ):
        yield wrong.update


def _quantized(form: Path) -> set[str]:
    """The modules of a form whose input is dequantized."""
    graph = onnx.load(form).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    return {
        node.name
        for node in graph.node
        if node.op_type == "Conv" and made_by.get(node.input[0]) == "DequantizeLinear"
    }


def test_a_search_on_the_board_builds_the_plans_of_the_fastest_mix_within_the_limit(
    board: Callable[..., None], searchable: Packed, invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    command = ["compile", searchable.bundle, "--out", tmp_path, "--search", "60"]
    outcome = invoke(*command)
    assert outcome.code == 0, outcome.stderr
    assert f"stay in float to keep the limit: {_WORSE}" in outcome.stderr
    folder = BuildFolder.open(tmp_path / "net" / "jetson")
    assert _WORSE in folder.manifest.target["quant"]["keep_float"]
    left = set(_SEARCHED) - {_WORSE}
    assert left <= _quantized(folder.verified(INT8_FORM))
    assert _WORSE not in _quantized(folder.path / INT8_FORM)
    facts = folder.facts(INT8_PLAN, PlanFacts)
    assert facts.search.keep_float == (_WORSE,) and facts.search.max_drop_pp == 3.0
    assert facts.search.finished and facts.search.engines >= 2 and facts.in_float is None
    assert folder.facts(FP16_PLAN, PlanFacts).search is None
    assert _WORSE not in folder.facts(QDQ_ONNX, QdqFacts).int8_convolutions
    assert folder.entry(INT8_PLAN).parents[QDQ_ONNX] == folder.entry(QDQ_ONNX).sha256
    for name in (INT8_PLAN, FP16_PLAN, QDQ_ONNX, FLOAT_ONNX):
        folder.verified(name)
    state = json.loads((folder.path / "sensitivity.json").read_text())
    assert state["chosen"]["keep_float"] == [_WORSE] and state["limit"]["max_drop_pp"] == 3.0
    # the samples are read from the bundle, and fill no disk
    assert not (folder.path / search_part.CALIBRATION).exists()
    # without a search the bundle's plans are those of INT8 alone
    plain = invoke(*command[:-2])
    assert plain.code == 7, plain.stderr  # these plans are wrong, and found out


def test_where_int8_alone_keeps_the_limit_its_plans_are_built(
    board: Callable[..., None], searchable: Packed, invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    board(module="none")
    outcome = invoke("compile", searchable.bundle, "--out", tmp_path, "--search", "60")
    assert outcome.code == 0, outcome.stderr
    assert "INT8 alone keeps 3 pp on the calibration samples" in outcome.stderr
    folder = BuildFolder.open(tmp_path / "net" / "jetson")
    assert folder.facts(INT8_PLAN, PlanFacts).search.keep_float == ()
    # the modules' noise, minutes on a board, is not asked for
    assert "the noise of each module" not in outcome.stderr
    assert json.loads((folder.path / "sensitivity.json").read_text())["sensitivities"] is None
    assert folder.manifest.target == load_manifest(folder.path).target == _as_json(asdict(LIMITED))


def _as_json(value: object) -> object:
    return json.loads(json.dumps(value))


@pytest.fixture
def searched(
    board: Callable[..., None],
    searchable: Packed,
    invoke: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], tuple[str, BuildFolder]]:
    """A search on the board whose plans, which are wrong, nobody holds to the form they are of."""

    def compiled() -> tuple[str, BuildFolder]:
        monkeypatch.setattr("edge_scnet.compile.plans.check_plan", lambda *_, **__: None)
        outcome = invoke("compile", searchable.bundle, "--out", tmp_path, "--search", "60")
        assert outcome.code == 0, outcome.stderr
        return outcome.stderr, BuildFolder.open(tmp_path / "net" / "jetson")

    return compiled


def test_where_nothing_keeps_the_limit_the_closest_is_told_and_int8_alone_is_built(
    searched: Callable[[], tuple[str, BuildFolder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the time is up behind the first engine
    monkeypatch.setattr("edge_scnet.sensitivity.search._Engines.spent_s", lambda self: 61.0)
    said, folder = searched()
    assert "none of 1 engines keeps 3 pp: the closest (0 modules in float)" in said
    assert "a longer --search goes on from there" in said
    told = folder.facts(INT8_PLAN, PlanFacts).search
    assert told.keep_float is None and not told.finished and told.engines == 1


def test_where_all_would_be_float_no_mix_is_built(
    board: Callable[..., None], searched: Callable[[], tuple[str, BuildFolder]]
) -> None:
    board(module="any")
    said, folder = searched()
    assert "no mix with INT8 keeps 3 pp faster than FP16 alone" in said
    assert set(folder.facts(INT8_PLAN, PlanFacts).search.keep_float) == set(_SEARCHED)
    assert set(_SEARCHED) <= _quantized(folder.verified(INT8_FORM))


def test_an_interrupted_search_goes_on_from_what_was_measured(
    board: Callable[..., None], searchable: Packed, invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    command = ["compile", searchable.bundle, "--out", tmp_path, "--search", "60"]
    board(stop=1)
    stopped = invoke(*command)
    assert stopped.code == 130, stopped.stderr
    state = tmp_path / "net" / "jetson" / "sensitivity.json"
    measured = json.loads(state.read_text())["candidates"]
    assert [engine["keep_float"] for engine in measured] == [[]]
    board(stop=0)
    outcome = invoke(*command)
    assert outcome.code == 0 and f"keep the limit: {_WORSE}" in outcome.stderr
    assert json.loads(state.read_text())["candidates"][0] == measured[0]


def test_what_a_search_on_a_board_lacks_is_one_error_with_the_way_out(
    board: Callable[..., None],
    searchable: Packed,
    invoke: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = invoke("compile", searchable.bare, "--out", tmp_path / "out", "--search", "60")
    assert bare.code == 6 and "carries no float graph and calibration samples" in bare.stderr
    assert "edge-scnet build" in bare.hint and "--search-on-board" in bare.hint
    missing = "edge_scnet.pipeline.board_search._PACKAGES"
    monkeypatch.setattr(missing, ("onnx", "no_such_runtime"))
    bare = invoke("compile", searchable.bundle, "--out", tmp_path / "out", "--search", "60")
    assert bare.code == 5 and "no_such_runtime" in bare.stderr and "[quantize]" in bare.hint
    with in_memory.registered(
        in_place_of="tensorrt", missing_to_run="no GPU", packages={"TensorRT": "10.3.0.30"}
    ):
        blind = invoke("compile", searchable.bundle, "--out", tmp_path / "out", "--search", "60")
    assert blind.code == 3 and "cannot be run by Python here: no GPU" in blind.stderr
    for seconds in ("0", "nan", "-1"):
        budget = invoke("compile", searchable.bundle, "--search", seconds)
        assert budget.code == 2 and "--search" in budget.stderr
    model = invoke("compile", "--target", "cpu", "--search", "60")
    assert model.code == 2 and "is for a bundle.tar.gz on its board" in model.stderr
    assert not (tmp_path / "out").exists()


def test_a_build_packs_what_the_search_needs_and_says_its_size(
    searchable: Packed, invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    np.savez(tmp_path / "samples.npz", x=searchable.images)
    np.savez(tmp_path / "others.npz", x=searchable.images[:, :, ::-1])
    model = searchable.bundle.with_name(FLOAT_ONNX)
    command = ["build", model, "--target", "jetson", "--calib", tmp_path / "samples.npz"]
    command += ["--eval", tmp_path / "others.npz", "--out", tmp_path / "out"]
    command += ["--num-classes", "10", "--search-on-board"]
    # 120 samples cannot show 0.5 pp: said before anything is done
    few = invoke(*command)
    assert few.code == 4 and "a search cannot prove 0.5 pp" in few.stderr
    outcome = invoke(*command, "--max-drop", "3")
    assert outcome.code in (0, 10, 13), outcome.stderr
    assert "with the float graph and 120 calibration samples for compile --search" in outcome.stderr
    folder = tmp_path / "out" / "model" / "jetson"
    (tmp_path / "into").mkdir()
    unpacked = bundle.unpack(folder / BUNDLE, tmp_path / "into")
    manifest = load_manifest(unpacked)
    wanted, samples = search_part.load(unpacked, manifest.model)
    assert wanted == SearchOnBoard(task=TaskSpec(kind="classification"), max_drop_pp=3.0)
    assert np.array_equal(samples.arrays, searchable.images)
    assert manifest.artifacts.keys() >= {FLOAT_ONNX, RANGES}
    assert "--search-on-board" in manifest.rebuild
    # without the option the next build's bundle has none of it
    plain = invoke(*command[:-1])
    assert plain.code in (0, 10, 13) and "for compile --search" not in plain.stderr
    (tmp_path / "plain").mkdir()
    bundle.unpack(folder / BUNDLE, tmp_path / "plain")
    assert not {file.name for file in (tmp_path / "plain").iterdir()} & {*search_part.SEARCH_FILES}


def test_a_task_that_code_of_the_user_s_own_judges_is_not_packed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for task in (
        TaskSpec(kind="mine.metrics:evaluator"),
        TaskSpec(kind="detection", arguments={"decode": "mine.heads:boxes"}),
    ):
        monkeypatch.setattr(board_search, "told_task", lambda job, task=task: task)
        job = cast(BuildJob, SimpleNamespace(target=JETSON))
        with pytest.raises(DataError, match=r"would judge by mine\.") as caught:
            board_search.part_of(job, None)
        assert "sensitivity MODEL.onnx --target jetson" in (caught.value.hint or "")


def test_the_hint_of_a_build_from_python_is_a_call() -> None:
    call = "edge_scnet.build(Net, target='jetson', calib=..., ...)"
    assert board_search._with_part(call).endswith("..., search_on_board=True)")


def test_a_build_whose_bundle_can_carry_no_search_is_refused(
    invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    out = ["--out", tmp_path / "out"]
    cpu = invoke("build", "--target", "cpu", "--search-on-board", *out)
    assert cpu.code == 3 and "is for targets whose plans are built on a board" in cpu.stderr
    recovered = invoke("build", "--target", "jetson", "--search-on-board", "--recover", "1", *out)
    assert recovered.code == 6 and "--recover changes" in recovered.stderr, recovered.stderr
    half = invoke("build", "--target", "jetson-fp16", "--search-on-board", *out)
    assert half.code == 3 and "FP16 alone" in half.stderr
