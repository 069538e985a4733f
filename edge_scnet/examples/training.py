"""Trains the example's detector: `python -m edge_scnet.examples.training --out DIR`.

Every epoch draws scenes that no other has, so nothing is held out; the evaluation sets have seeds
of their own. Places whose centre lies near the centre of an object of their level's size are its
own, as in FCOS: Z. Tian, C. Shen, H. Chen, T. He, FCOS: Fully Convolutional One-Stage Object
Detection, ICCV 2019. The box's loss is the GIoU: H. Rezatofighi et al., CVPR 2019.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch  # noqa: TID253  this module is a program of its own: training is all it does
import torch.nn.functional as F  # noqa: TID253
import typer
from torch import Tensor  # noqa: TID253

from edge_scnet.core.files import sha256_file, write_atomic
from edge_scnet.core.optional import require
from edge_scnet.examples.detector import MEAN, SIDE, STD, STRIDES, ShapeDetector
from edge_scnet.examples.shapes import CLASSES, Scene, scenes

# Objects whose root of the area is larger belong to the coarse level.
_LEVEL_LIMIT = 24.0
# Of the distance between a place and the object's centre, in strides.
_RADIUS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the weights."""

    epochs: int = 25
    scenes_per_epoch: int = 1600
    seed: int = 1_000
    batch: int = 32
    peak_lr: float = 4e-3
    weight_decay: float = 1e-4
    averaging: float = 0.998


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What each place of a batch should say; places are in the order of the network's rows."""

    # bool [batch, places]: has an object
    positive: Tensor
    # float32 [batch, places, 4]: x1, y1, x2, y2 in pixels
    corners: Tensor
    # int64 [batch, places]
    classes: Tensor


def places() -> tuple[Tensor, Tensor]:
    """The upper left corner, [places, 2], and the stride, [places], of each row, in pixels."""
    corners, strides = [], []
    for stride in STRIDES:
        along = torch.arange(0, SIDE, stride, dtype=torch.float32)
        ys, xs = torch.meshgrid(along, along, indexing="ij")
        corners.append(torch.stack([xs.flatten(), ys.flatten()], 1))
        strides.append(torch.full((xs.numel(),), float(stride)))
    return torch.cat(corners), torch.cat(strides)


def truth_of(batch: list[Scene]) -> Truth:
    """Gives each place the smallest object that it is near enough to the centre of."""
    corner, stride = places()
    centre = corner + stride[:, None] / 2
    coarse = stride > STRIDES[0]
    shape = (len(batch), len(stride))
    positive = torch.zeros(shape, dtype=torch.bool)
    corners, classes = torch.zeros(*shape, 4), torch.zeros(shape, dtype=torch.int64)
    for i, scene in enumerate(batch):
        boxes = torch.from_numpy(scene.corners)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        for k in torch.argsort(areas, descending=True).tolist():
            middle = (boxes[k, :2] + boxes[k, 2:]) / 2
            near = ((centre - middle).abs() <= _RADIUS * stride[:, None]).all(1)
            inside = ((centre > boxes[k, :2]) & (centre < boxes[k, 2:])).all(1)
            own = near & inside & (coarse == bool(areas[k].sqrt() > _LEVEL_LIMIT))
            positive[i, own], corners[i, own] = True, boxes[k]
            classes[i, own] = int(scene.classes[k])
    return Truth(positive=positive, corners=corners, classes=classes)


def loss_of(raw: Tensor, truth: Truth) -> Tensor:
    """The loss of a batch, by positive place.

    Args:
        raw: [batch, places, 5 + classes], logits behind the box's four offsets.
    """
    corner, stride = places()
    middle = corner + raw[..., :2] * stride[:, None]
    half = raw[..., 2:4].clamp(max=4.0).exp() * stride[:, None] / 2
    boxes = torch.cat([middle - half, middle + half], -1)
    has, count = truth.positive, truth.positive.sum().clamp(min=1)
    overlap, generalised = _overlaps(boxes[has], truth.corners[has])
    objectness = F.binary_cross_entropy_with_logits(raw[..., 4], has.float(), reduction="sum")
    wanted = F.one_hot(truth.classes[has], len(CLASSES)) * overlap.detach()[:, None]
    classes = F.binary_cross_entropy_with_logits(raw[..., 5:][has], wanted, reduction="sum")
    return (5.0 * (1.0 - generalised).sum() + objectness + classes) / count


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and GIoU of pairs of boxes."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    both = shared.prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both
    around = hull.prod(1)
    return both / union, both / union - (around - union) / around


def inputs_of(batch: list[Scene]) -> Tensor:
    """The network's input, normalised: N x 3 x side x side."""
    pixels = torch.from_numpy(np.stack([scene.image for scene in batch])).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std


def train(recipe: Recipe, out: Path) -> Path:
    """Trains the detector and writes the weights and their card into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = ShapeDetector()
    average = torch.optim.swa_utils.AveragedModel(
        model,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.averaging),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.peak_lr,
        total_steps=recipe.epochs * (recipe.scenes_per_epoch // recipe.batch),
    )
    history = []
    for epoch in range(recipe.epochs):
        started, total = time.perf_counter(), 0.0
        drawn = list(
            scenes(
                recipe.scenes_per_epoch,
                seed=recipe.seed,
                side=SIDE,
                first=epoch * recipe.scenes_per_epoch,
            )
        )
        steps = len(drawn) // recipe.batch
        for step in range(steps):
            batch = drawn[step * recipe.batch : (step + 1) * recipe.batch]
            loss = loss_of(model(inputs_of(batch)), truth_of(batch))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            total += loss.item()
        history.append({"epoch": epoch + 1, "loss": total / steps})
        print(
            f"epoch {epoch + 1}/{recipe.epochs}: loss {total / steps:.3f},"
            f" {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    return _write(average.module, recipe, history, out)


def _write(
    model: torch.nn.Module, recipe: Recipe, history: list[dict[str, float]], out: Path
) -> Path:
    weights = out / "shapes_detector.safetensors"
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with write_atomic(weights) as temporary:
        require("safetensors.torch", extra="export").save_file(state, temporary)
    card = {
        "recipe": asdict(recipe),
        "sha256": sha256_file(weights),
        "torch": torch.__version__,
        "history": history,
    }
    with write_atomic(weights.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    print(f"wrote {weights}", flush=True)
    return weights


app = typer.Typer(add_completion=False)


@app.command()
def main(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the weights and their card.")],
    epochs: int = Recipe().epochs,
    scenes_per_epoch: int = Recipe().scenes_per_epoch,
) -> None:
    """Train the example's detector."""
    train(Recipe(epochs=epochs, scenes_per_epoch=scenes_per_epoch), out)


if __name__ == "__main__":
    app(prog_name="python -m edge_scnet.examples.training")
