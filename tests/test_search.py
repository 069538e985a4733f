"""Sensitivity by module, and the search of mixed precision: what it tries, what it keeps, and that
it can go on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edge_scnet.config.target import QuantScheme
from edge_scnet.data import batches as data_batches
from edge_scnet.data import samples as dataset
from edge_scnet.errors import ArtifactError
from edge_scnet.graph import run as simulate
from edge_scnet.models import zoo
from edge_scnet.quantize import ranges_file, recipe
from edge_scnet.sensitivity import noise as sensitivity
from edge_scnet.sensitivity import result as sensitivity_result
from edge_scnet.sensitivity import search
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.result import Candidate, Limit
from edge_scnet.sensitivity.state import State
from edge_scnet.stats.accuracy import relative_noise
from tests.helpers.tool import Built, Outcome

SCHEME = QuantScheme(placement="openvino", rounding="nearest")


@pytest.fixture(scope="module")
def prepared(built: Built) -> recipe.Prepared:
    model = ir.load(built.folder / "model.onnx")
    images = calib_images(built, 8)
    return recipe.prepare(
        model,
        ranges_file.load_ranges(built.folder / "ranges.npz"),
        SCHEME,
        weight_bits=7,
        images=images,
    )


def calib_images(built: Built, count: int) -> np.ndarray:
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    return data_batches.load(
        dataset.open_samples(built.calib, model=spec, role="calibration"), spec, range(count)
    )


def test_noise_by_module_is_that_of_the_module_quantized_alone(
    built: Built, prepared: recipe.Prepared
) -> None:
    images = calib_images(built, 16)
    found = sensitivity.measure(prepared, images)
    nodes = recipe.assemble(prepared).placement.int8_nodes
    assert {module.node for module in found.modules} == set(nodes) and found.images == 16
    assert [m.share for m in found.modules] == sorted(
        (m.share for m in found.modules), reverse=True
    )
    # noises add up
    assert 0.6 < sum(module.share for module in found.modules) < 1.6
    # the shared prefix changes nothing: the same by running the whole network
    batches = np.split(images, 16)
    reference = [np.concatenate([run[0] for run in simulate.run_onnx(prepared.model, batches)])]

    def noise(keep: Iterable[str]) -> float:
        runs = simulate.run_onnx(recipe.assemble(prepared, list(keep)).model, batches)
        return relative_noise(reference, [np.concatenate([run[0] for run in runs])])

    # a rounding flips now and then: the session of the prefix has other kernels than that of the
    # whole
    assert found.noise == pytest.approx(noise(()), rel=0.1)
    for module in (found.modules[0], found.modules[10], found.modules[30]):
        alone = noise(node for node in nodes if node != module.node)
        assert module.share == pytest.approx(alone / noise(()), rel=0.1), module.node
    work = {module.node: module.multiply_adds for module in found.modules}
    assert work["conv1"] == 28 * 28 * 16 * 9 and work["layer1.0.conv3"] == 28 * 28 * 16 * 64


def test_what_is_kept_in_float_is_float_and_the_rest_as_before(prepared: recipe.Prepared) -> None:
    whole, without = recipe.assemble(prepared), recipe.assemble(prepared, ["layer1.0.conv3"])
    assert set(whole.placement.int8_nodes) - set(without.placement.int8_nodes) == {"layer1.0.conv3"}
    node = next(n for n in without.model.graph if n.name == "layer1.0.conv3")
    assert node.inputs[1] is not None and node.inputs[1].is_initializer()


class Table:
    """Engines whose noise and time are given: noises add up, so do costs."""

    def __init__(
        self, noise: dict[str, float], cost: dict[str, float], drop: float | None = None
    ) -> None:
        self.noise, self.cost, self.drop = noise, cost, drop
        self.measured: list[tuple[str, ...]] = []

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        names = tuple(sorted(keep_float))
        self.measured.append(names)
        left = sum(value for name, value in self.noise.items() if name not in names)
        time = 1.0 + sum(self.cost[name] for name in names)
        return Candidate(
            keep_float=names,
            sqnr_db=-10 * float(np.log10(left)) if left else None,
            drop_upper95_pp=None if self.drop is None else self.drop * left,
            time_ratio=time,
            time_low=time,
            time_high=time,
        )

    def sensitivities(self) -> Sensitivities:
        modules = [
            ModuleNoise(node=n, share=p / sum(self.noise.values()), multiply_adds=1)
            for n, p in self.noise.items()
        ]
        return Sensitivities(
            noise=sum(self.noise.values()),
            images=1,
            modules=tuple(sorted(modules, key=lambda m: -m.share)),
        )


TABLE = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.06, "e": 0.04}
COST = {"a": 0.30, "b": 0.02, "c": 0.02, "d": 0.01, "e": 0.01}


def run(
    table: Table, limit: Limit, path: Path, budget: float = 60.0
) -> sensitivity_result.SearchResult:
    return search.search(table, table.sensitivities(), limit, State(path, "key"), budget_s=budget)


def test_the_cheapest_mix_within_the_limit_is_found(tmp_path: Path) -> None:
    # half the noise must go: b + c does it for 0.04, a alone does not
    result = run(Table(TABLE, COST), Limit(min_gain_db=3.0), tmp_path / "s.json")
    assert result.chosen is not None and result.chosen.keep_float == ("b", "c") and result.finished
    assert next(c.keep_float for c in result.pareto) == () and result.chosen in result.pareto
    ratios = [c.time_ratio for c in result.pareto]
    assert ratios == sorted(ratios)


def test_exchanges_find_what_the_ranking_misses(tmp_path: Path) -> None:
    # by noise over cost b comes first and would need c as well; a alone is enough and cheaper than
    # both
    noise, cost = {"a": 0.5, "b": 0.35, "c": 0.15}, {"a": 0.09, "b": 0.05, "c": 0.05}
    result = run(Table(noise, cost), Limit(min_gain_db=3.0), tmp_path / "s.json")
    assert result.chosen is not None and result.chosen.keep_float == ("a",)


def test_int8_alone_is_chosen_where_it_keeps_the_limit(tmp_path: Path) -> None:
    table = Table(TABLE, COST, drop=0.3)
    result = run(table, Limit(max_drop_pp=0.5), tmp_path / "s.json")
    assert result.chosen is not None and result.chosen.keep_float == () and table.measured == [()]


def test_a_limit_of_the_drop_is_kept(tmp_path: Path) -> None:
    result = run(Table(TABLE, COST, drop=1.0), Limit(max_drop_pp=0.55), tmp_path / "s.json")
    assert result.chosen is not None and result.chosen.keep_float == ("b", "c")


def test_nothing_is_chosen_where_nothing_keeps_the_limit(tmp_path: Path) -> None:
    result = run(Table(TABLE, COST, drop=None), Limit(max_drop_pp=0.5), tmp_path / "s.json")
    assert result.chosen is None and result.finished


def test_a_search_out_of_time_keeps_its_work_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    first = Table(TABLE, COST)
    early = run(first, Limit(min_gain_db=3.0), path, budget=0.0)
    assert not early.finished and early.chosen is None and first.measured == [()]
    assert len(json.loads(path.read_text())["candidates"]) == 1
    # of the first engine nothing is measured again
    second = Table(TABLE, COST)
    late = run(second, Limit(min_gain_db=3.0), path)
    assert (
        () not in second.measured
        and late.chosen is not None
        and late.chosen.keep_float == ("b", "c")
    )
    third = Table(TABLE, COST)
    assert run(third, Limit(min_gain_db=3.0), path).chosen == late.chosen and third.measured == []


def test_what_was_measured_of_other_inputs_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    run(Table(TABLE, COST), Limit(min_gain_db=3.0), path)
    assert State(path, "key").candidates and not State(path, "another").candidates
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"s\.json cannot be read"):
        State(path, "key")


def test_the_file_holds_what_was_measured_and_the_last_search(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    result = run(Table(TABLE, COST), Limit(min_gain_db=3.0), path)
    state = State(path, "key")
    state.add_sensitivities(result.sensitivities)
    assert "chosen" not in json.loads(path.read_text())  # no search has ended since
    state.add_result(result, Limit(min_gain_db=3.0))
    body = json.loads(path.read_text())
    assert list(body) == [
        *("format", "key", "sensitivities", "candidates"),
        *("limit", "chosen", "seconds", "pareto", "finished"),
    ]
    assert body["limit"] == {"min_sqnr_db": None, "min_gain_db": 3.0, "max_drop_pp": None}
    assert body["chosen"]["keep_float"] == ["b", "c"] and body["chosen"] in body["pareto"]
    again = State(path, "key")
    assert again.sensitivities == result.sensitivities
    assert tuple(again.candidates) == result.candidates


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"candidates": [{"keep_float": "a"}]}, r"candidates\[0\]"),
        ({"sensitivities": {"noise": "much"}}, r"sensitivities\.noise"),
        ({"key": None}, "key"),
    ],
)
def test_a_wrong_field_of_the_file_is_named(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    path = tmp_path / "s.json"
    body = {"format": 1, "key": "key", "sensitivities": None, "candidates": [], **changed}
    path.write_text(json.dumps(body))
    with pytest.raises(ArtifactError, match=rf"s\.json cannot be read: {message}") as refused:
        State(path, "key")
    assert refused.value.hint == f"rm {path}"
    path.write_text(json.dumps({**body, "key": "key", "format": 2}))
    assert not State(path, "key").candidates  # of another version, whatever it holds


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
    from edge_scnet.config.target import load_target
    from edge_scnet.pipeline import sensitivity as mixed

    target = mixed.with_float(load_target("cpu"), ["a[0]"])
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
    copied: Built, invoke: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the images of this test are too few to show a real drop: the search is given what it would
    # have found
    from edge_scnet.pipeline import sensitivity as mixed

    chosen = Candidate(
        keep_float=("conv1",),
        sqnr_db=40.0,
        drop_upper95_pp=0.1,
        time_ratio=1.01,
        time_low=None,
        time_high=None,
    )
    found = sensitivity_result.SearchResult(
        sensitivities=Sensitivities(noise=1.0, modules=(), images=1),
        candidates=(chosen,),
        chosen=chosen,
        seconds=1.0,
        finished=True,
    )
    monkeypatch.setattr(mixed, "run", lambda *_, **__: found)
    monkeypatch.setattr(mixed, "check_provable", lambda *_: None)
    outcome = invoke(
        "build",
        "--calib",
        copied.calib,
        "--eval",
        copied.evaluation,
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
