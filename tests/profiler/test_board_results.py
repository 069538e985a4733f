"""A board's results: what their archive and its board.json must hold."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.core.facts import FormFacts
from edge_scnet.core.manifest import INT8_FORM, Artifact, Manifest
from edge_scnet.errors import ArtifactError
from edge_scnet.models.zoo import DEFAULT_MODEL, MODELS
from edge_scnet.profiler.board_results import Exports, read_results, timed_plan
from tests.helpers.limits import no_longer_than

FORM = "f" * 64
MANIFEST = Manifest(
    model=MODELS[DEFAULT_MODEL],
    target={},
    floor="none",
    precision_hint="f32",
    rebuild="edge-scnet build",
).with_artifact(
    Artifact(
        file=INT8_FORM,
        kind="onnx-form",
        stage="compile",
        sha256=FORM,
        size_bytes=1,
        key="k",
        facts=FormFacts(precision="int8", kept_fp32=()),
    )
)
BOARD: dict[str, Any] = {
    "tensorrt": "10.3.0",
    "board": "NVIDIA Jetson Orin Nano",
    "timing": "--useCudaGraph",
    "engine_sha256": FORM,
    "int8_bytes": 1000,
    "int8_sha256": "1" * 64,
    "fp16_bytes": 2000,
    "fp16_sha256": "2" * 64,
}


def log(milliseconds: float) -> str:
    return (
        "&&&& RUNNING TensorRT.trtexec [TensorRT v100300]\n[I] Throughput: 987.5 qps\n"
        f"[I] GPU Compute Time: min = {milliseconds} ms, max = {milliseconds} ms, mean ="
        f" {milliseconds} ms, median = {milliseconds} ms\n"
        "&&&& PASSED TensorRT.trtexec [TensorRT v100300]\n"
    )


def texts(**changed: str | None) -> dict[str, str]:
    """What build.sh packs, by file name; a text of None is left out."""
    files = {"board.json": json.dumps(BOARD)}
    for stem, milliseconds in (("engine", 1.0), ("engine-fp16", 2.0)):
        times = [{"computeMs": milliseconds}] * 3
        files |= {f"{stem}.1.times.json": json.dumps(times), f"{stem}.1.log": log(milliseconds)}
        files |= {f"{stem}.profile.json": "[]", f"{stem}.layers.json": '{"Layers": []}'}
    names = {name.replace("_", "."): text for name, text in changed.items()}
    return {name: text for name, text in {**files, **names}.items() if text is not None}


def board_with(**changed: Any) -> dict[str, str]:
    return {"board_json": json.dumps({**BOARD, **changed})}


TIMES = json.dumps([{"computeMs": 1.0}] * 3)


def archive(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text.encode())
            packed.addfile(member, io.BytesIO(text.encode()))
    return path


def test_both_plans_and_the_board_are_read(tmp_path: Path) -> None:
    timed = read_results(archive(tmp_path / "results.tar.gz", texts()), MANIFEST)
    assert (timed.judged.size_bytes, timed.reference.sha256) == (1000, "2" * 64)
    assert timed.judged.times.rounds_ns == ((1_000_000,) * 3,)
    assert timed.reference.times.rates_per_second == (987.5,)
    assert {name: timed.environment[name] for name in BOARD} == BOARD
    assert len(timed.environment["fingerprint"]) == 64


def test_the_faster_of_both_ways_is_taken_and_a_graph_that_was_not_recorded_is_told(
    tmp_path: Path,
) -> None:
    """As build.sh packs them; an archive without plain rounds has one way, as before."""
    files = {
        **texts(),
        "engine.1.plain.times.json": json.dumps([{"computeMs": 1.5}] * 3),
        "engine.1.plain.log": log(1.5),
        "engine-fp16.1.plain.times.json": json.dumps([{"computeMs": 1.6}] * 3),
        "engine-fp16.1.plain.log": log(1.6).replace("987.5", "600"),
    }
    timed = read_results(archive(tmp_path / "results.tar.gz", files), MANIFEST)
    int8, fp16 = timed.judged.times, timed.reference.times
    assert int8.graph is not None and int8.graph.used and int8.rounds_ns == ((1_000_000,) * 3,)
    assert int8.graph.speedup is not None and int8.graph.speedup.ratio == 1.5
    assert fp16.graph is not None and not fp16.graph.used
    assert fp16.rounds_ns == ((1_600_000,) * 3,) and fp16.rates_per_second == (600.0,)
    refused = (
        "[W] The built TensorRT engine contains operations that are not permitted under CUDA graph"
        " capture mode.\n[W] The specified --useCudaGraph flag has been ignored. The inference will"
        " be launched without using CUDA graph launch.\n"
    )
    for ways in (files, texts()):
        files = {**ways, "engine.1.log": refused + ways["engine.1.log"]}
        timed = read_results(archive(tmp_path / "results.tar.gz", files), MANIFEST)
        graph = timed.judged.times.graph
        assert graph is not None and graph.with_p50_ms is None and not graph.used
        assert "not permitted" in (graph.fault or "")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"board_json": None}, "lacks board.json"),
        ({"board_json": "{"}, "board.json: "),
        ({"board_json": json.dumps({**BOARD, "int8_bytes": "many"})}, "board.json: int8_bytes"),
        (
            {"board_json": json.dumps({**BOARD, "engine_sha256": "0" * 64})},
            "is not of the engine.onnx",
        ),
        ({"engine_1_times_json": None}, "lacks engine.1.times.json"),
        ({"engine_1_times_json": "[]"}, "the figures of engine: no queries were timed"),
        ({"engine_1_log": log(5.0)}, "the figures of engine: the exported times have a median"),
        *((board_with(int8_bytes=x), "board.json: int8_bytes") for x in (None, [1], -1, 1 << 50)),
        (board_with(board={}), "board.json: board"),
        (board_with(schema=0), "board.json has schema 0, this version reads 1"),
        (board_with(tensorrt="9" * 5000), "board.json: tensorrt"),
        ({"board_json": json.dumps(BOARD).replace("1000", "1e999")}, "board.json: "),
        ({"board_json": json.dumps(BOARD).replace("1000", "NaN")}, "board.json: "),
        ({"board_json": "[" * 100_000}, "nested too deeply"),
        ({"engine_1_times_json": '[{"computeMs": 1e999}]'}, "a figure in it is 1e999"),
        ({"engine_1_times_json": '[{"computeMs": -1}]'}, "times[0].computeMs is -1"),
        ({"engine_1_times_json": "[" * 100_000}, "nested too deeply"),
        ({"engine_1_times_json": None, "engine_2_times_json": "[]"}, "figures of engine: "),
        ({"engine_2_times_json": TIMES, "engine_2_log": log(1.0)}, "2 rounds of the INT8 plan"),
        (
            {"engine_1_log": log(1.0).replace("987.5", "1.2.3")},
            "has no line 'Throughput: ... qps'",
        ),
        (
            {"engine_1_log": log(1.0).replace("987.5", "9" * 5000)},
            "has no line 'Throughput: ... qps'",
        ),
        ({"engine_profile_json": '[{"name": "a", "medianMs": NaN}]'}, "a figure in it is NaN"),
        ({"engine_profile_json": '[{"name": "a", "medianMs": -1}]'}, "medianMs is -1"),
        ({"engine_profile_json": '[{"name": "a"}]'}, "the profile has no medianMs of 'a'"),
        ({"engine_layers_json": '{"Layers": null}'}, "Layers is null"),
        ({"engine_layers_json": '{"Layers": 3}'}, "Layers is 3"),
        ({"engine_layers_json": '{"Layers": [{}, 1]}'}, "an entry is wrong: it must be a table"),
        ({"engine_layers_json": '{"Layers": [{"Inputs": 1}]}'}, "Layers[0].Inputs is 1"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    tmp_path: Path, changed: dict[str, str | None], message: str
) -> None:
    path = archive(tmp_path / "results.tar.gz", texts(**changed))
    with pytest.raises(ArtifactError) as refused:
        read_results(path, MANIFEST)
    assert str(path) in refused.value.message and message in refused.value.message
    assert refused.value.hint is not None and "build.sh" in refused.value.hint


def test_a_message_names_where_the_figures_are_from(tmp_path: Path) -> None:
    exports = Exports(texts={}, where=tmp_path / "exports", hint="run it again")
    with pytest.raises(ArtifactError, match=r"exports lacks engine-fp16\.1\.times\.json") as error:
        timed_plan(exports, "fp16", 1, "a" * 64)
    assert error.value.hint == "run it again"


@pytest.mark.parametrize(
    "line",
    [
        "RAM 1/2MB gpu@" + "9" * 5000 + "C",
        "RAM " + "9" * 5000 + "/2MB",
        "RAM 1/2MB " + "a-" * 500_000,
        "RAM 1/2MB GR3D_FREQ " + "9" * 5000 + "%@[" + "1," * 5000 + "]",
    ],
)
def test_readings_of_no_board_are_passed_over_at_once(line: str, tmp_path: Path) -> None:
    files = texts(tegrastats_log=line, nvpmodel_txt="NV Power Mode: a" + " " * 200_000 + "b")
    with no_longer_than(5):
        timed = read_results(archive(tmp_path / "results.tar.gz", files), MANIFEST)
    assert timed.state is not None and timed.state.temperature_peak_celsius is None
