"""The noise of modules in a build's report: only where it is of that build's graph."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.pipeline.module_noise import noise_of
from edge_scnet.pipeline.result import save_noise
from edge_scnet.report.store import load_report
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.state import STATE, State, made_of
from tests.helpers.tool import Built

FOUND = Sensitivities(
    noise=0.01,
    modules=(
        ModuleNoise(node="conv1", share=0.6, multiply_adds=1),
        ModuleNoise(node="fc", share=0.2, multiply_adds=1),
    ),
    images=12,
)


def measured(folder: BuildFolder, of: str | None) -> None:
    State(folder.path / STATE, "key", of=of).add_sensitivities(FOUND)


def test_a_report_shows_the_noise_of_its_own_graph(copied: Built) -> None:
    folder = BuildFolder.open(copied.folder)
    assert noise_of(folder) == ()
    measured(folder, made_of(folder.manifest))
    save_noise(folder)
    shares = {part.module: part.percent for part in load_report(folder.path / "report.json").noise}
    assert shares == {"conv1": pytest.approx(75.0), "fc": pytest.approx(25.0)}
    assert "share of noise</text>" in (folder.path / "report.html").read_text()
    data = json.loads((folder.path / "node_data.noise.json").read_text())
    assert data["results"] == {"conv1": {"value": 75.0}, "fc": {"value": 25.0}}


def test_the_noise_of_another_graph_or_scheme_is_not_shown(copied: Built) -> None:
    folder = BuildFolder.open(copied.folder)
    measured(folder, made_of(folder.manifest))
    quant = folder.manifest.target["quant"]

    def with_quant(**changes: object) -> BuildFolder:
        target = {**folder.manifest.target, "quant": {**quant, **changes}}
        return replace(folder, manifest=replace(folder.manifest, target=target))

    assert noise_of(folder)
    assert noise_of(with_quant(keep_float=["fc"])), "a module in float has a share all the same"
    assert noise_of(with_quant(percentile=99.0)) == ()
    entry = replace(folder.entry("ranges.npz"), sha256="0" * 64)
    assert noise_of(folder.with_artifact(entry)) == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 3}'])
def test_a_damaged_file_is_no_noise(copied: Built, text: str) -> None:
    folder = BuildFolder.open(copied.folder)
    (folder.path / STATE).write_text(text)
    assert noise_of(folder) == ()


def test_without_a_report_the_figures_by_node_are_written_alone(copied: Built) -> None:
    folder = BuildFolder.open(copied.folder)
    for file in ("report.json", "report.html", "node_data.time.json"):
        (folder.path / file).unlink()
    measured(folder, made_of(folder.manifest))
    save_noise(folder)
    assert (folder.path / "node_data.noise.json").is_file()
    assert not (folder.path / "report.json").exists()


def test_figures_by_node_have_the_names_of_the_graph(built: Built) -> None:
    from edge_scnet.graph.model import load

    names = {node.name for node in load(built.folder / "model.qdq.onnx").graph}
    for kind in ("time", "precision"):
        data = json.loads(Path(built.folder / f"node_data.{kind}.json").read_text())
        assert data["results"].keys() <= names
        assert sum(name in data["results"] for name in names) > 40, kind
    precisions = {entry["value"] for entry in data["results"].values()}
    assert precisions & {"u8", "i8"} and "f32" in precisions


def test_model_explorer_knows_every_node_by_its_name(built: Built) -> None:
    """By its own adapter and its own records; not among the packages of `dev`: it has 130 MB."""
    main = pytest.importorskip("model_explorer_onnx.main", reason="no model-explorer-onnx here")
    builder = pytest.importorskip("model_explorer.node_data_builder")
    (graph,) = main.ONNXAdapter().convert(str(built.folder / "model.qdq.onnx"), {})["graphs"]
    shown = {node.id for node in graph.nodes}
    for kind in ("time", "precision"):
        content = json.loads((built.folder / f"node_data.{kind}.json").read_text())
        data = builder.GraphNodeData(
            name=content["name"],
            results={n: builder.NodeDataResult(**e) for n, e in content["results"].items()},
            gradient=[builder.GradientItem(**stop) for stop in content.get("gradient", ())],
        )
        assert json.loads(data.to_json_string()).items() >= content.items()
        assert data.results and data.results.keys() <= shown
