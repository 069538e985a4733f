"""The examples of other tasks: built and judged by their own figures, which planted faults fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edge_scnet.examples import data, heads, weights
from edge_scnet.examples.heads_training import Recipe, Sums
from edge_scnet.examples.shapes import scenes
from edge_scnet.examples.single import COLOURS, IDENTITIES, singles
from edge_scnet.examples.training import inputs_of
from tests.helpers.sharing import made_once
from tests.helpers.tool import Outcome
from tests.tasks.cases import SEEDS


def negated(values: np.ndarray) -> np.ndarray:
    """The opposite of every score."""
    return -values


def rolled(values: np.ndarray) -> np.ndarray:
    """Each class's scores given for the next class."""
    return np.roll(values, 1, axis=0)


def moved(values: np.ndarray) -> np.ndarray:
    """Every coordinate 4 pixels off."""
    return values + 4 if values.ndim == 1 else values


def cut(values: np.ndarray) -> np.ndarray:
    """Most of a vector's components gone."""
    out = values.copy()
    out[6:] = 0
    return out


# The first figure, and the fault that it has to show.
FAULTS: dict[data.Task, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    data.Task.BINARY: ("accuracy", negated),
    data.Task.SEGMENTATION: ("mIoU", rolled),
    data.Task.KEYPOINTS: ("normalised mean error", moved),
    data.Task.EMBEDDING: ("verification accuracy", cut),
}


def options(drawn: Path, task: data.Task) -> list[str]:
    evaluation = "eval" if task is data.Task.SEGMENTATION else "eval.csv"
    return [
        *("--input-size", "96", "--resize", "96", "--seconds", "0.1", "--target", "cpu"),
        *("--task", task.value, "--calib", f"{drawn}/calib", "--eval", f"{drawn}/{evaluation}"),
    ]


def first_metric(folder: Path) -> dict[str, float]:
    report = json.loads(next(folder.rglob("report.json")).read_text())
    (engine,) = (each for each in report["engines"] if each["name"] == "int8")
    return engine["accuracy"]["task"]["metrics"][0]


# By hand all of them: SEEDS=20 pytest tests/examples -m slow.
BUILT = tuple(FAULTS) if SEEDS >= 20 else (data.Task.KEYPOINTS,)


@pytest.mark.slow
@pytest.mark.parametrize("task", BUILT)
def test_an_engine_is_judged_by_its_task_and_a_planted_fault_does_not_ship(
    task: data.Task, shared: Path, tmp_path: Path, invoke: Callable[..., Outcome]
):
    drawn = made_once(
        shared / task.value, lambda out: data.write(out, task, calib=100, evaluation=120)
    )
    outcome = invoke(
        "build",
        f"edge_scnet.examples.heads:{task.value}",
        *options(drawn, task),
        *("--out", tmp_path / "out"),
    )
    # 120 images cannot prove all of it, nor a busy machine the speed
    assert outcome.code in (0, 11, 13), outcome.stdout + outcome.stderr
    name, fault = FAULTS[task]
    metric = first_metric(tmp_path / "out")
    assert metric["name"] == name
    assert abs(metric["loss"]) < 0.02 * metric["reference"]

    model = onnx.load(next((tmp_path / "out").rglob("model.qdq.onnx")))
    parts: tuple[str, ...] = ("weight", "_int8", "bias", "bias_corrected")
    if fault is rolled:
        parts += ("weight_scale", "weight__scale")  # of each class its own
    changed = 0
    for tensor in model.graph.initializer:
        if tensor.name.startswith("last") and tensor.name.endswith(parts):
            values = fault(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
            changed += 1
    assert changed >= 2, [tensor.name for tensor in model.graph.initializer]
    onnx.save(model, tmp_path / "broken.onnx")
    source = next((tmp_path / "out").rglob("model.onnx"))
    outcome = invoke(
        "build",
        source,
        *("--qdq", tmp_path / "broken.onnx"),
        *options(drawn, task),
        *("--out", tmp_path / "bad"),
    )
    assert outcome.code == 10, outcome.stdout + outcome.stderr
    assert "do not ship" in outcome.stdout


@torch.inference_mode()
def test_the_networks_say_what_is_in_pictures_that_they_were_not_made_of():
    batch = list(scenes(40, seed=1_000_001))
    x = inputs_of(batch)
    has_disc = torch.tensor([[data.has_disc(scene)] for scene in batch])
    assert ((heads.binary()(x) > 0) == has_disc).float().mean() > 0.8
    maps = heads.segmentation()(x)
    assert maps.shape == (40, 4, 24, 24)
    masks = torch.from_numpy(np.stack([scene.mask[2::4, 2::4] for scene in batch]))
    assert ((maps.argmax(1) > 0) == (masks > 0)).float().mean() > 0.95
    one = list(singles(60, seed=1_000_001))
    x = inputs_of([item.scene for item in one])
    corners = torch.from_numpy(np.stack([item.scene.corners[0] for item in one]))
    assert (heads.keypoints()(x) - corners).abs().mean() < 3
    vectors = heads.embedding()(x)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(60), atol=1e-5)
    same = torch.tensor([[a.identity == b.identity for b in one] for a in one])
    cosines = vectors @ vectors.T
    assert cosines[same].mean() > cosines[~same].mean() + 0.3


def test_normal_equations_give_back_a_linear_layer():
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3, 5, generator=generator), torch.randn(3, generator=generator)
    sums = Sums()
    for _ in range(4):
        x = torch.randn(20, 5, generator=generator)
        sums.add(x, x @ weight.T + bias)
    found = sums.solved(1e-9)
    assert torch.allclose(found[0], weight, atol=1e-4)
    assert torch.allclose(found[1], bias, atol=1e-4)


def test_identities_are_kinds_and_colours():
    drawn = list(singles(60, seed=4))
    assert len({item.name for item in drawn}) > 15
    for item in drawn:
        assert 0 <= item.identity < IDENTITIES
        kind, colour = divmod(item.identity, len(COLOURS))
        assert item.scene.classes.tolist() == [kind]
        x, y = item.scene.corners[0].reshape(2, 2).mean(axis=0).astype(int)
        near = item.scene.image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(axis=0)
        distances = np.linalg.norm(np.array(COLOURS) - near, axis=1)
        assert distances.argmin() == colour


def test_the_committed_layers_are_of_this_recipe():
    card = json.loads((weights.FOLDER / "shapes_heads.json").read_text())
    assert card["recipe"] == {
        "scenes": Recipe().scenes,
        "singles": Recipe().singles,
        "seed": Recipe().seed,
        "ridge": Recipe().ridge,
    }
    assert (weights.FOLDER / "shapes_heads.safetensors").stat().st_size < 100_000


@pytest.mark.parametrize("task", FAULTS)
def test_files_of_each_task(task: data.Task, tmp_path: Path):
    command = data.write(tmp_path, task, calib=2, evaluation=3)
    assert f"--task {task.value}" in command
    assert len(list((tmp_path / "calib").iterdir())) == 2
    if task is data.Task.SEGMENTATION:
        names = [
            sorted(p.name for p in (tmp_path / "eval" / f).iterdir()) for f in ("images", "masks")
        ]
        assert names[0] == names[1] and len(names[0]) == 3
    else:
        lines = (tmp_path / "eval.csv").read_text().splitlines()
        assert len(lines) == 4 and lines[1].startswith("eval/0000.png,")
        assert len({line.count(",") for line in lines}) == 1
