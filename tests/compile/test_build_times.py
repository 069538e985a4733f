"""Plans built several times: the fastest that is right is kept, and what nothing can time is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.compile import plans
from edge_scnet.compile.build_times import timer_for
from edge_scnet.compile.executed import WantedLayers
from edge_scnet.config.target import TargetSpec
from edge_scnet.core.events import Silent
from edge_scnet.core.facts import PlanFacts
from edge_scnet.core.manifest import FP16_FORM, FP16_PLAN, INT8_FORM, INT8_PLAN
from edge_scnet.errors import BackendError, ParityError, TargetError
from edge_scnet.runtimes import in_memory, runtime_named
from edge_scnet.runtimes.base import Built, ExecutedLayer
from edge_scnet.runtimes.in_memory import Engine, InMemory
from tests.helpers.tensorrt import JETSON, fake_trtexec

INT8 = (ExecutedLayer(kind="CaskConvolution", precision="int8", nodes=("conv",)),)
FLOAT = (ExecutedLayer(kind="CaskConvolution", precision="fp16", nodes=("conv",)),)
PACKAGES = {"TensorRT": "10.3.0.30"}


class Told(Silent):
    """The warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


_Builds = list[tuple[float, tuple[ExecutedLayer, ...]] | Exception]


def builds_of(int8: _Builds) -> Callable[..., Engine]:
    """What a builder makes: of INT8 these one after the other, of FP16 always the same."""
    left = iter(int8)

    def compiler(source: Path) -> Engine:
        if source.name == FP16_FORM:
            return Engine(compute=lambda x: [x], input_shape=(1, 2), graph_seconds=0.0)
        made = next(left)
        if isinstance(made, Exception):
            raise made
        seconds, layers = made
        return Engine(
            compute=lambda x: [x], input_shape=(1, 2), graph_seconds=seconds, layers=layers
        )

    return compiler


def pair(folder: Path, runtime: InMemory, builds: int) -> tuple[dict[str, PlanFacts], Told]:
    for form in (INT8_FORM, FP16_FORM):
        (folder / form).touch()
    told = Told()
    source = plans.PlanSource(folder=folder, wanted=WantedLayers(convolutions=("conv",)))
    target = replace(JETSON, require_int8=True)
    return plans.build_pair(runtime, target, source, told, builds=builds), told


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_scnet.runtimes.in_turn._BLOCK_S", 0.0)
    monkeypatch.setattr("edge_scnet.runtimes.in_turn._ROUNDS", 6)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[InMemory]:
    compiler = builds_of(
        [(0.003, INT8), (0.0, FLOAT), (0.001, INT8), BackendError("out of memory"), (0.002, INT8)]
    )
    with in_memory.registered(
        in_place_of="tensorrt", compiler=compiler, packages=PACKAGES
    ) as registered:
        yield registered


def test_the_fastest_build_that_is_right_is_kept(runtime: InMemory, tmp_path: Path) -> None:
    facts, told = pair(tmp_path, runtime, 5)
    builds = facts[INT8_PLAN].builds
    # the second is faster still, and has a convolution in float
    assert builds is not None and (builds.count, builds.kept) == (5, 3)
    assert [ratio is None for ratio in builds.time_ratios] == [False, True, False, True, False]
    assert builds.time_ratios[0] == 1 and 0.2 < (builds.time_ratios[2] or 0) < 0.6
    assert "by Python" in builds.timed_by
    assert (tmp_path / INT8_PLAN).read_text() == "engine.3.plan"
    assert any("build 2 of 5 of engine.plan is not kept" in words for words in told.warnings)
    assert any("build 4" in words and "out of memory" in words for words in told.warnings)
    # its twin is built as often, and nothing else is left
    assert facts[FP16_PLAN].builds is not None and facts[FP16_PLAN].builds.count == 5
    assert {path.name for path in tmp_path.iterdir()} == {
        INT8_FORM,
        FP16_FORM,
        INT8_PLAN,
        FP16_PLAN,
    }
    # of those that were timed no two were open besides the first one
    assert runtime.log.count("build engine.plan") == 1


def test_of_builds_that_must_be_int8_one_that_tells_it_is_kept(tmp_path: Path) -> None:
    for told, kept in ((INT8, 2), ((), 1)):
        compiler = builds_of([(0.0, ()), (0.002, told)])
        with in_memory.registered(
            in_place_of="tensorrt", compiler=compiler, packages=PACKAGES
        ) as runtime:
            builds = pair(tmp_path, runtime, 2)[0][INT8_PLAN].builds
        assert builds is not None and builds.kept == kept


def test_where_no_build_is_right_the_first_ones_fault_is_told(tmp_path: Path) -> None:
    compiler = builds_of([(0.0, FLOAT), (0.0, FLOAT), (0.0, FLOAT)])
    with (
        in_memory.registered(
            in_place_of="tensorrt", compiler=compiler, packages=PACKAGES
        ) as runtime,
        pytest.raises(ParityError, match="1 of 1 convolutions"),
    ):
        pair(tmp_path, runtime, 3)
    assert not (tmp_path / INT8_PLAN).exists()
    assert {path.name for path in tmp_path.iterdir()} == {INT8_FORM, FP16_FORM, FP16_PLAN}


def test_each_further_build_has_no_timing_cache_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT keeps it beside the plan; with it all builds would be the same."""
    beside: list[set[str]] = []
    build = InMemory.build

    def caching(
        self: InMemory, source: Path, target: TargetSpec, out: Path, **options: Any
    ) -> Built:
        beside.append({path.suffix for path in out.parent.iterdir()} & {".cache"})
        made = build(self, source, target, out, **options)
        (out.parent / "timing-10.3.0.cache").touch()
        return made

    monkeypatch.setattr(InMemory, "build", caching)
    with in_memory.registered(
        in_place_of="tensorrt", compiler=builds_of([(0.001, INT8)] * 3), packages=PACKAGES
    ) as runtime:
        pair(tmp_path, runtime, 3)
    # the first of INT8 reads what its twin's first left, as it does where each is built once
    assert beside == [set(), set(), set(), {".cache"}, set(), set()]


def test_plans_that_python_cannot_run_are_timed_by_trtexec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_trtexec(tmp_path / "trtexec", "100300")
    text = program.read_text().replace(
        "--saveEngine=", "--loadEngine=*.3.plan) ms=0.5 ;;\n        --saveEngine=", 1
    )
    program.write_text(text)
    monkeypatch.setattr(InMemory, "timing_program", lambda self: program)
    compiler = builds_of([(0.0, INT8)] * 3)
    (tmp_path / "built").mkdir()
    with in_memory.registered(
        in_place_of="tensorrt", compiler=compiler, packages=PACKAGES, missing_to_run="no GPU"
    ) as runtime:
        facts, _ = pair(tmp_path / "built", runtime, 3)
        builds = facts[INT8_PLAN].builds
        assert builds is not None and builds.kept == 3 and builds.timed_by == "trtexec 10.3.0"
        assert builds.time_ratios == (1.0, 1.0, 0.5)
        other = replace(runtime, packages={"TensorRT": "10.7.0"})
        with pytest.raises(TargetError, match="cannot load them"):
            timer_for(other, 3)


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("openvino", "is for TensorRT's plans", "leave --builds out"),
        ("tensorrt", "built on their board", "compile bundle.tar.gz --builds 4"),
    ],
)
def test_several_builds_are_refused_where_nothing_can_tell_the_fastest(
    name: str, words: str, hint: str
) -> None:
    with pytest.raises(TargetError, match=words) as caught:
        timer_for(runtime_named(name), 4)
    assert hint in (caught.value.hint or "")


def test_several_builds_are_refused_where_neither_python_nor_trtexec_runs_plans() -> None:
    with (
        in_memory.registered(in_place_of="tensorrt", missing_to_run="no GPU") as runtime,
        pytest.raises(TargetError, match="nothing here can time the plans") as caught,
    ):
        timer_for(runtime, 2)
    assert "libnvinfer-bin" in (caught.value.hint or "")
