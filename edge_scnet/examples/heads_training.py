"""Makes the last layers of the examples: `python -m edge_scnet.examples.heads_training --out DIR`.

Each is a ridge regression on the trained detector's features, solved at once: it takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
from edge_scnet.examples import heads
from edge_scnet.examples.data import has_disc
from edge_scnet.examples.detector import shapes
from edge_scnet.examples.shapes import CLASSES, Scene, scenes
from edge_scnet.examples.single import IDENTITIES, Single, singles
from edge_scnet.examples.training import inputs_of

_BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the layers, with the detector's weights."""

    scenes: int = 1500
    singles: int = 3000
    seed: int = 2_000
    # of the squared features' mean
    ridge: float = 1e-3


class Sums:
    """The normal equations of a linear layer, added up."""

    def __init__(self) -> None:
        self._square: Tensor | None = None
        self._cross: Tensor | None = None

    def add(self, features: Tensor, wanted: Tensor) -> None:
        """Adds rows.

        Args:
            features: [rows, features].
            wanted: [rows, outputs].
        """
        x = torch.cat([features, torch.ones(len(features), 1)], 1).double()
        square, cross = x.T @ x, x.T @ wanted.double()
        self._square = square if self._square is None else self._square + square
        self._cross = cross if self._cross is None else self._cross + cross

    def solved(self, ridge: float) -> tuple[Tensor, Tensor]:
        """The weight, [outputs, features], and the bias, [outputs]."""
        assert self._square is not None and self._cross is not None
        damping = ridge * self._square.diagonal().mean() * torch.eye(len(self._square))
        damping[-1, -1] = 0
        solution = torch.linalg.solve(self._square + damping, self._cross).float()
        return solution[:-1].T.contiguous(), solution[-1].contiguous()


@torch.inference_mode()
def fit(recipe: Recipe) -> dict[str, Tensor]:
    """The weight and bias of each task's last layer, by name."""
    detector = shapes()
    layers = {
        "binary": _fit_binary(heads.Binary(detector).eval(), recipe),
        "segmentation": _fit_segmentation(heads.Segmentation(detector).eval(), recipe),
        "keypoints": _fit_singles(
            heads.Keypoints(detector).eval(),
            recipe,
            lambda batch: np.stack([item.scene.corners[0] for item in batch]),
        ),
        "embedding": _fit_singles(
            heads.Embedding(detector).eval(),
            recipe,
            lambda batch: np.eye(IDENTITIES)[[item.identity for item in batch]],
        ),
    }
    return {
        f"{task}.{part}": tensor
        for task, layer in layers.items()
        for part, tensor in zip(("weight", "bias"), layer, strict=True)
    }


def _scenes(recipe: Recipe) -> Iterator[list[Scene]]:
    for first in range(0, recipe.scenes, _BATCH):
        yield list(scenes(_BATCH, seed=recipe.seed, first=first))


def _fit_binary(model: heads.Binary, recipe: Recipe) -> tuple[Tensor, Tensor]:
    sums = Sums()
    for batch in _scenes(recipe):
        wanted = torch.tensor([[1.0 if has_disc(scene) else -1.0] for scene in batch])
        sums.add(model.described(inputs_of(batch)), wanted)
    return sums.solved(recipe.ridge)


def _fit_segmentation(model: heads.Segmentation, recipe: Recipe) -> tuple[Tensor, Tensor]:
    sums = Sums()
    for batch in _scenes(recipe):
        described = model.described(inputs_of(batch))
        columns = F.unfold(described, 3, padding=1).transpose(1, 2).flatten(0, 1)
        masks = torch.from_numpy(np.stack([scene.mask for scene in batch])).long()
        shares = F.avg_pool2d(F.one_hot(masks, 1 + len(CLASSES)).permute(0, 3, 1, 2).float(), 4)
        sums.add(columns, shares.flatten(2).transpose(1, 2).flatten(0, 1))
    weight, bias = sums.solved(recipe.ridge)
    return weight.reshape(1 + len(CLASSES), -1, 3, 3), bias


def _fit_singles(
    model: heads.Keypoints | heads.Embedding,
    recipe: Recipe,
    wanted: Callable[[list[Single]], np.ndarray],
) -> tuple[Tensor, Tensor]:
    sums = Sums()
    for first in range(0, recipe.singles, _BATCH):
        batch = list(singles(_BATCH, seed=recipe.seed, first=first))
        described = model.described(inputs_of([item.scene for item in batch]))
        sums.add(described, torch.from_numpy(wanted(batch)).float())
    return sums.solved(recipe.ridge)


app = typer.Typer(add_completion=False)


@app.command()
def main(
    *, out: Annotated[Path, typer.Option(help="Folder for the layers and their card.")]
) -> None:
    """Make the last layers of the examples."""
    out.mkdir(parents=True, exist_ok=True)
    path, recipe = out / "shapes_heads.safetensors", Recipe()
    with write_atomic(path) as temporary:
        require("safetensors.torch", extra="export").save_file(fit(recipe), temporary)
    card = {"recipe": asdict(recipe), "sha256": sha256_file(path), "torch": torch.__version__}
    with write_atomic(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    typer.echo(f"wrote {path}")


if __name__ == "__main__":
    app(prog_name="python -m edge_scnet.examples.heads_training")
