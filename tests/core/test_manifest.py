"""Manifests: tampered ones are refused, and files that changed leave them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.core.facts import (
    EngineFacts,
    ExportFacts,
    Facts,
    Fidelity,
    FormFacts,
    PlanFacts,
    QdqFacts,
    RangesFacts,
    facts_to_json,
)
from edge_scnet.core.manifest import (
    MANIFEST,
    Artifact,
    Manifest,
    load_manifest,
    save_manifest,
    to_json,
    without_stale,
)
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.errors import ArtifactError
from edge_scnet.models.zoo import FASHION_MNIST
from tests.helpers.tool import Built, Edit, Outcome, Run


def refused(outcome: Outcome, code: int, *words: str) -> None:
    assert outcome.code == code, outcome.stderr
    assert (
        outcome.stdout == ""
        and "Traceback" not in outcome.stderr
        and "this is a bug" not in outcome.stderr
    )
    for word in words:
        assert word in outcome.stderr
    assert outcome.hint, outcome.stderr


def both(invoke: Run, path: Path, bag: Path) -> list[Outcome]:
    return [invoke("profile", path, "--seconds", "0.1"), invoke("predict", path, bag)]


def test_a_missing_path_and_a_file_without_manifest(
    built: Built, tmp_path: Path, bag: Path, invoke: Run
) -> None:
    lone = shutil.copy(built.folder / "model.xml", tmp_path / "model.xml")
    for outcome in both(invoke, tmp_path / "absent.xml", bag):
        refused(outcome, 6, "no such file or folder", "absent.xml")
    profiled, predicted = both(invoke, Path(lone), bag)
    # it is measured all the same where it is whole, but nothing can be predicted
    refused(profiled, 8, "OpenVINO cannot read", str(lone), "its weights (.bin) beside it")
    refused(predicted, 6, str(tmp_path / "manifest.json"), "is missing", "preprocessing")


def test_a_file_that_is_no_engine_of_the_manifest(built: Built, bag: Path, invoke: Run) -> None:
    for outcome in both(invoke, built.folder / "model.bin", bag):
        refused(
            outcome,
            6,
            "model.bin",
            "it knows: model.onnx, model.qdq.onnx, model-fp32.xml, model.xml\n",
        )


@pytest.mark.parametrize("file", ["model.xml", "model.bin", "model-fp32.bin"])
def test_edited_bytes_are_refused(copied: Built, bag: Path, invoke: Run, file: str) -> None:
    content = bytearray((copied.folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied.folder / file).write_bytes(content)
    refused(invoke("profile", copied.folder), 6, file, "is not the file that was built")
    refused(
        invoke("predict", copied.folder / file.replace(".bin", ".xml"), bag),
        6,
        file,
        "is not the file that was built",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("\xff", "cannot be read"),
        ("[]", "has no schema number"),
        ('{"schema": 99}', "has schema 99, this version reads 1 to 3"),
        ('{"schema": 1}', "incomplete"),
        (
            (
                '{"schema": 1, "model": 3, "target": {}, "floor": "avx2", "precision_hint": "f32",'
                ' "artifacts": []}'
            ),
            "incomplete",
        ),
    ],
)
def test_a_manifest_that_is_none(
    tmp_path: Path, bag: Path, invoke: Run, text: str, words: str
) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    for outcome in both(invoke, tmp_path, bag):
        refused(outcome, 6, str(tmp_path / "manifest.json"), words)


def test_a_manifest_whose_names_leave_its_folder(
    copied: Built, bag: Path, invoke: Run, edit_manifest: Edit
) -> None:
    shutil.copy(copied.folder / "model.xml", copied.folder.parent / "model.xml")
    edit_manifest(
        copied.folder, lambda content: content["artifacts"]["model.xml"].update(file="../model.xml")
    )
    for outcome in both(invoke, copied.folder, bag):
        refused(outcome, 6, "'../model.xml'", "plain file name")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda content: content["artifacts"].clear(), 6),
        (lambda content: content["artifacts"].pop("model.bin"), 6),
        (lambda content: content["artifacts"]["model.xml"].update(kind="plan"), 6),
        (lambda content: content["artifacts"]["model.xml"].update(size_bytes="big"), 6),
        (lambda content: content["artifacts"]["model.xml"].update(facts=[]), 6),
        (lambda content: content["model"].update(input_shape="many"), 6),
        (lambda content: content["target"].update(threads="all"), 3),
        (lambda content: content["target"].pop("runtime"), 3),
        (lambda content: content.update(floor="mmx"), 3),
    ],
)
def test_a_manifest_with_wrong_values(
    copied: Built, invoke: Run, edit_manifest: Edit, change: Callable[[dict], None], code: int
) -> None:
    edit_manifest(copied.folder, change)
    outcome = invoke("profile", copied.folder, "--seconds", "0.1")
    assert outcome.code == code, outcome.stderr
    assert outcome.stderr.startswith("error: ") and "this is a bug" not in outcome.stderr


def test_the_default_precision_of_a_machine_that_acts_a_lesser_one(
    copied: Built, cli_process: Run, edit_manifest: Edit
) -> None:
    """Where BF16 is there, and hidden from oneDNN alone, OpenVINO would take it and compile
    nothing.
    """
    edit_manifest(copied.folder, lambda content: content.update(floor="avx2"))
    lesser = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    outcome = cli_process(
        "profile", copied.folder / "model-fp32.xml", "--seconds", "0.1", "--json", env=lesser
    )
    assert outcome.code == 0, outcome.stderr
    rows = json.loads(outcome.stdout)["engines"]
    assert [(row["name"], list(row["convolutions"])) for row in rows] == [
        ("fp32", ["f32"]),
        ("default", ["f32"]),
    ]


def test_an_engine_for_more_than_the_machine_has(
    copied: Built, bag: Path, cli_process: Run, edit_manifest: Edit
) -> None:
    edit_manifest(copied.folder, lambda content: content.update(floor="avx512_vnni"))
    lesser = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    for command in (("profile", copied.folder), ("predict", copied.folder / "model.xml", bag)):
        outcome = cli_process(*command, env=lesser)
        refused(
            outcome,
            3,
            str(copied.folder / "model.xml"),
            "needs avx512_vnni",
            "ONEDNN_MAX_CPU_ISA=AVX2",
        )
        assert outcome.hint.startswith(
            "edge-scnet build scnet20-fashion-mnist --target cpu-avx2 --calib "
        )
    # its FP32 twin is right on any machine
    assert cli_process(
        "predict", copied.folder / "model-fp32.xml", bag, env=lesser
    ).stdout.startswith(f"{bag}: Bag")


@pytest.mark.parametrize(
    ("target", "kinds"),
    [
        (
            "cpu",
            {
                "model.onnx": ExportFacts,
                "ranges.npz": RangesFacts,
                "model.qdq.onnx": QdqFacts,
                "model-fp32.xml": EngineFacts,
                "model-fp32.bin": Facts,
                "model.xml": EngineFacts,
                "model.bin": Facts,
            },
        ),
        (
            "jetson",
            {
                "model.onnx": ExportFacts,
                "ranges.npz": RangesFacts,
                "model.qdq.onnx": QdqFacts,
                "engine-fp16.onnx": FormFacts,
                "engine.onnx": FormFacts,
                "bundle.tar.gz": Facts,
            },
        ),
    ],
)
def test_a_manifest_as_the_first_version_wrote_it_is_read_and_written_anew(
    tmp_path: Path, target: str, kinds: dict[str, type[Facts]]
) -> None:
    text = (Path(__file__).parents[1] / "data" / "manifests" / f"{target}.json").read_text()
    (tmp_path / MANIFEST).write_text(text)
    manifest = load_manifest(tmp_path)
    assert {name: type(a.facts) for name, a in manifest.artifacts.items()} == kinds
    before, after = json.loads(text), json.loads(to_json(manifest))
    assert (before.pop("schema"), after.pop("schema")) == (1, 3)
    assert after.pop("dequantized") is False
    assert after.pop("fed_with") is None
    floats = {"dtype": "float32", "layout": "NCHW", "colour": None}
    assert after.pop("input") == floats
    was, now = before.pop("model"), after.pop("model")
    assert now["input_shape"] == [was["channels"], was["input_size"], was["input_size"]]
    assert now["preprocessing"]["mean"] == was["mean"] and now["classes"] == was["classes"]
    assert now["preprocessing"]["short_side"] == was["resize"]
    for entry in after["artifacts"].values():
        for added in ("notes", "int8_layers", "float_layers", "varies"):
            entry["facts"].pop(added, None)
        for added in ("finite", "noise"):
            entry["facts"].get("parity", {}).pop(added, None)
    assert after == before


def test_a_manifest_of_the_second_version_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "data" / "manifests" / "cpu.json").read_text()
    content = json.loads(text)
    model = content["model"]
    del model["channels"], model["input_size"]
    model |= {"input_shape": [3, 240, 320], "resize": 256, "mean": [0.1, 0.2, 0.3]}
    (tmp_path / MANIFEST).write_text(json.dumps({**content, "schema": 2}))
    spec = load_manifest(tmp_path).model
    assert spec.preprocessing == Preprocessing(
        mean=(0.1, 0.2, 0.3), std=(0.353,), short_side=256, colour="RGB"
    )
    assert spec.input_shape == (3, 240, 320)
    del model["mean"]
    (tmp_path / MANIFEST).write_text(json.dumps({**content, "schema": 2}))
    with pytest.raises(ArtifactError, match=r"model\.preprocessing\.mean is missing"):
        load_manifest(tmp_path)


def test_a_preprocessing_is_kept_as_it_is(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "data" / "manifests" / "cpu.json").read_text()
    (tmp_path / MANIFEST).write_text(text)
    manifest = load_manifest(tmp_path)
    rule = Preprocessing(
        colour="BGR",
        pixel_max=255.0,
        mean=(1.0,),
        std=(2.0,),
        resize="letterbox",
        interpolation="area",
        antialias=False,
        library="opencv",
        pad_value=(1, 2, 3),
        pad_anchor="top-left",
        exif=False,
        origins={"colour": "--colour"},
    )
    save_manifest(tmp_path, replace(manifest, model=replace(manifest.model, preprocessing=rule)))
    kept = load_manifest(tmp_path).model.preprocessing
    assert kept == rule and kept.origins == rule.origins


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda artifacts: artifacts["model.onnx"]["facts"].pop("nodes"),
            r"artifacts\[model\.onnx\]\.facts\.nodes is missing",
        ),
        (
            lambda artifacts: artifacts["model.xml"]["facts"]["fidelity"].update(engine_db="good"),
            r'facts\.fidelity\.engine_db is "good"; it must be a number',
        ),
        (
            lambda artifacts: artifacts["model.xml"].update(facts=3),
            r"facts is .*; it must be a table",
        ),
    ],
)
def test_facts_that_do_not_fit_are_named(
    tmp_path: Path, change: Callable[[dict], None], words: str
) -> None:
    file = Path(__file__).parents[1] / "data" / "manifests" / "cpu.json"
    content = json.loads(file.read_text())
    change(content["artifacts"])
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=words):
        load_manifest(tmp_path)


def test_what_was_not_found_out_of_an_engine_is_not_written() -> None:
    plan = PlanFacts(precision="fp16", runtime="tensorrt", tensorrt="10.3", machine={})
    identical = replace(plan, fidelity=Fidelity(engine_db=None, images=64))
    assert "fidelity" not in facts_to_json(plan) and "build_seconds" not in facts_to_json(plan)
    assert facts_to_json(identical)["fidelity"] == {"engine_db": None, "images": 64}


def entry(file: str, sha256: str, **parents: str) -> Artifact:
    return Artifact(
        file=file,
        kind="onnx",
        stage="export",
        sha256=sha256,
        size_bytes=1,
        key="k",
        parents=parents,
    )


def test_artifacts_of_changed_files_leave_the_manifest_and_so_do_theirs() -> None:
    kept = [entry("a", "1", **{"source:a": "9"}), entry("b", "2", a="1"), entry("d", "4", a="1")]
    files = {e.file: e for e in [*kept, entry("c", "3", b="2")]}
    manifest = Manifest(
        model=FASHION_MNIST,
        target={},
        floor="avx2",
        precision_hint="f32",
        rebuild="",
        artifacts=files,
    )
    assert without_stale(manifest) == manifest
    changed = manifest.with_artifact(replace(files["b"], sha256="new", parents={"a": "1"}))
    assert set(without_stale(changed).artifacts) == {"a", "b", "d"}
    changed = manifest.with_artifact(replace(files["a"], sha256="new"))
    assert set(without_stale(changed).artifacts) == {"a"}
