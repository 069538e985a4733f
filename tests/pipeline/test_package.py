"""`package`: which builds it takes, what it refuses, and that it writes all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edge_scnet.config.target import load_target
from edge_scnet.core.facts import EngineFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import Artifact, load_manifest, save_manifest
from edge_scnet.errors import ArtifactError, StorageError
from edge_scnet.pipeline.package import facts_of, package
from tests.helpers.packages import NAMED, findings, ir_build
from tests.helpers.reports import qdq_facts
from tests.helpers.served import PIXELS
from tests.helpers.tool import Edit


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return ir_build(tmp_path / "build")


def test_the_facts_are_the_manifests_and_the_reports(build: Path) -> None:
    facts = facts_of(build)
    assert [part.name for part in facts.files] == ["model.xml", "model.bin"]
    assert (facts.runtime, facts.precision, facts.opened_in) == ("openvino", "int8", "f32")
    assert (facts.runtime_version, facts.floor) == ("2026.4.1", "avx512_vnni")
    assert facts.is_classifier and facts.held_back is None
    assert facts.row is not None and facts.row.name == "int8"
    assert facts.reference is not None and facts.reference.name == "fp32"
    assert facts_of(build / "model.xml") == facts


def test_of_onnx_runtime_the_engine_is_taken_and_not_the_graph_that_it_was_made_of(
    tmp_path: Path,
) -> None:
    """Both are INT8 and ONNX; the engines take bytes, and the graph floats."""
    build = ir_build(tmp_path / "build", target=asdict(load_target("onnxruntime")))
    manifest = replace(load_manifest(build), input=PIXELS)
    for name, stage, facts in (
        ("model.qdq.onnx", "quantize", qdq_facts()),
        ("model-int8.onnx", "compile", EngineFacts(precision="int8", runtime="onnxruntime")),
    ):
        (build / name).write_text(name)
        entry = Artifact(
            file=name,
            kind="onnx",
            stage=stage,
            sha256=sha256_file(build / name),
            size_bytes=len(name),
            key="k",
            facts=facts,
        )
        manifest = manifest.with_artifact(entry)
    save_manifest(build, manifest)
    engine = facts_of(build)
    assert (engine.engine.name, engine.input.dtype) == ("model-int8.onnx", "uint8")
    assert facts_of(build / "model.qdq.onnx").input.dtype == "float32"


def test_colours_and_padding_are_in_the_order_that_bytes_are_fed_in(tmp_path: Path) -> None:
    rule = replace(NAMED.preprocessing, resize="letterbox", colour="RGB", pad_value=(1, 2, 3))
    spec = replace(NAMED, input_shape=(3, 28, 28), preprocessing=rule)
    build = ir_build(tmp_path / "build", spec)
    save_manifest(build, replace(load_manifest(build), input=replace(PIXELS, colour="BGR")))
    fed = facts_of(build).model.preprocessing
    assert (fed.colour, fed.pad_value) == ("BGR", (3, 2, 1))


def test_a_package_has_the_engine_and_what_the_build_measured(build: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    packaged = package(build, form="python", out=out)
    assert packaged.held_back is None and packaged.engine == str(build / "model.xml")
    there = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
    assert there == list(packaged.files)
    assert (out / "model.xml").read_bytes() == (build / "model.xml").read_bytes()
    told = (out / "README.md").read_text()
    assert "1.000" in told and "did not ship" not in told
    # the folder that the package was made in is gone
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build", "out"]


@pytest.mark.parametrize(
    ("accuracy", "speed", "words"),
    [
        ("fail", "pass", "do not ship: Accuracy: fail."),
        ("pass", "fail", "do not ship: 1.5x the speed of FP32: fail."),
        ("inconclusive", "pass", "not proven: Accuracy: inconclusive."),
        ("pass", "inconclusive", "not proven to be faster"),
    ],
)
def test_a_build_that_did_not_ship_is_refused(
    tmp_path: Path, accuracy: str, speed: str, words: str
) -> None:
    build = ir_build(tmp_path / "build", judged_by=findings(accuracy, speed))
    with pytest.raises(ArtifactError, match="did not ship") as caught:
        package(build, form="python", out=tmp_path / "out")
    assert words in caught.value.message and caught.value.hint.endswith("--anyway")
    assert not (tmp_path / "out").exists()
    packaged = package(build, form="python", out=tmp_path / "out", anyway=True)
    assert packaged.held_back is not None and words in packaged.held_back
    told = (tmp_path / "out" / "README.md").read_text()
    assert f"**This engine did not ship:** {words}" in told


def test_what_was_not_measured_did_not_ship(tmp_path: Path) -> None:
    for name, found in (("nothing", ()), ("accuracy", findings()[:1]), ("speed", findings()[1:])):
        build = ir_build(tmp_path / name, judged_by=found)
        assert facts_of(build).held_back is not None
    build = ir_build(tmp_path / "part", complete=False)
    assert "interrupted" in str(facts_of(build).held_back)
    (build / "report.json").unlink()
    facts = facts_of(build)
    assert "there is no report.json" in str(facts.held_back)
    assert (facts.report, facts.row, facts.task) == (None, None, None)
    package(build, form="python", out=tmp_path / "out", anyway=True)
    told = (tmp_path / "out" / "README.md").read_text()
    assert "No figures: the engine was not measured." in told and "latency" not in told


def test_a_report_of_another_engine_says_nothing(build: Path, edit_manifest: Edit) -> None:
    (build / "model.xml").write_bytes(b"another")
    sha256 = sha256_file(build / "model.xml")
    edit_manifest(build, lambda content: content["artifacts"]["model.xml"].update(sha256=sha256))
    facts = facts_of(build)
    assert "is of another engine" in str(facts.held_back) and facts.report is None


def test_the_verdict_is_about_the_judged_engine_alone(build: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"the verdict is about model\.xml"):
        package(build / "model-fp32.xml", form="python", out=tmp_path / "out")
    packaged = package(build / "model-fp32.xml", form="python", out=tmp_path / "out", anyway=True)
    assert {"model-fp32.xml", "model-fp32.bin"} <= set(packaged.files)


def test_a_report_that_cannot_be_read_is_an_error(build: Path, tmp_path: Path) -> None:
    (build / "report.json").write_text("{")
    with pytest.raises(ArtifactError, match="is not a report"):
        package(build, form="python", out=tmp_path / "out", anyway=True)


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_a_changed_engine_is_refused(build: Path, tmp_path: Path, name: str) -> None:
    (build / name).write_bytes(b"changed")
    with pytest.raises(ArtifactError, match=f"{name} is not the file that was built"):
        package(build, form="python", out=tmp_path / "out", anyway=True)
    assert not (tmp_path / "out").exists()


def test_names_that_cannot_stand_in_code_are_refused(
    build: Path, tmp_path: Path, edit_manifest: Edit
) -> None:
    name = 'model";.bin'
    (build / "model.bin").rename(build / name)

    def renamed(content: dict) -> None:
        entry = content["artifacts"].pop("model.bin")
        content["artifacts"][name] = {**entry, "file": name}
        content["artifacts"]["model.xml"]["facts"]["companions"] = [name]

    edit_manifest(build, renamed)
    with pytest.raises(ArtifactError, match="names of ASCII letters"):
        package(build, form="python", out=tmp_path / "out")


def test_the_graph_that_an_engine_was_made_of_is_none(build: Path, edit_manifest: Edit) -> None:
    def onnxruntime(content: dict) -> None:
        files, facts = content["artifacts"], {"precision": "int8", "runtime": "onnxruntime"}
        graph = {**files["model.xml"], "file": "graph", "kind": "onnx", "stage": "other"}
        engine = {**files["model.xml"], "kind": "onnx", "facts": facts}
        content["artifacts"] = {"graph": {**graph, "facts": {}}, "model.xml": engine}
        content["target"]["runtime"] = "onnxruntime"
        content["target"]["quant"]["placement"] = "onnxruntime"

    edit_manifest(build, onnxruntime)
    assert facts_of(build).engine.name == "model.xml"


def test_a_build_without_an_engine_says_what_makes_one(build: Path, edit_manifest: Edit) -> None:
    edit_manifest(build, lambda content: content["artifacts"].pop("model.xml"))
    with pytest.raises(ArtifactError, match="holds no INT8 engine") as caught:
        facts_of(build)
    assert caught.value.hint == "edge-scnet build net.onnx"


def test_a_format_is_for_the_engines_of_its_runtimes(
    build: Path, tmp_path: Path, edit_manifest: Edit
) -> None:
    def plan(content: dict) -> None:
        entry = content["artifacts"]["model.xml"]
        entry["kind"] = "tensorrt-plan"
        entry["facts"] |= {"tensorrt": "10.3.0", "machine": {}, "companions": []}

    edit_manifest(build, plan)
    with pytest.raises(ArtifactError, match="docker is for openvino and onnxruntime") as caught:
        package(build / "model.xml", form="docker", out=tmp_path / "out", anyway=True)
    assert "--for cpp" in caught.value.hint and "--for docker" not in caught.value.hint


def test_networks_of_other_inputs_are_refused(tmp_path: Path) -> None:
    build = ir_build(tmp_path / "build", replace(NAMED, input_shape=(6, 128)))
    for form in ("cpp", "python", "docker"):
        with pytest.raises(ArtifactError, match="takes 6 x 128"):
            package(build, form=form, out=tmp_path / "out")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None])
def test_an_empty_folder_is_as_good_as_none(
    build: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    out = tmp_path / "out"
    make(out)
    package(build, form="python", out=out)
    assert (out / "run.py").is_file() and not list(out.glob(".*"))


def test_places_that_hold_anything_are_refused_untouched(build: Path, tmp_path: Path) -> None:
    full, file, link = tmp_path / "full", tmp_path / "file", tmp_path / "link"
    full.mkdir()
    (full / ".hidden").write_text("mine")
    file.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere")
    for place, words in ((full, "is not empty"), (file, "a file"), (link, "a link")):
        with pytest.raises(StorageError, match=words):
            package(build, form="python", out=place)
    assert (full / ".hidden").read_text() == file.read_text() == "mine"
    assert [path.name for path in full.iterdir()] == [".hidden"]
    assert not (tmp_path / "elsewhere").exists()
