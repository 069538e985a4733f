"""Trains the reference weights: `python -m edge_scnet.training --data DIR --out DIR`.

A run is resumable at every epoch: the augmentation of an epoch is drawn from (seed, epoch), and
model, optimiser and schedule are saved together. 5,000 training images (the same number of each
class) are held out for choosing; the test set is measured once, when training is over.

Recipe: SGD with Nesterov momentum 0.9, batch 256, OneCycle to 0.4, weight decay 5e-4 on tensors of
two dimensions and more, label smoothing 0.05, random crop with zero padding, horizontal flip,
float32.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import torch  # noqa: TID253  this module is a program of its own: training is all it does
import torch.nn.functional as F  # noqa: TID253
import typer
from torch import Tensor, nn  # noqa: TID253

from edge_scnet.core.files import sha256_file, write_atomic
from edge_scnet.core.optional import require
from edge_scnet.data import idx
from edge_scnet.errors import ArtifactError, EdgeError
from edge_scnet.models import zoo
from edge_scnet.models.architectures import create

HELD_OUT = 5_000
CROP_PADDING = {"fashion-mnist": 2, "cifar10": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the weights, with the data."""

    dataset: str
    arch: str
    epochs: int
    seed: int = 0
    batch: int = 256
    peak_lr: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    # The first epochs may see smaller random crops, which cost less in proportion to their area;
    # the rest see whole images.
    small_epochs: int = 0
    small_crop: int = 24


def split_held_out(labels: np.ndarray, count: int = HELD_OUT) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices (train, held out), fixed for ever by seed 0.

    `count` images are held out, the same number of each class.
    """
    rng = np.random.default_rng(0)
    classes = np.unique(labels)
    chosen = [
        rng.permutation(np.flatnonzero(labels == c))[: count // len(classes)] for c in classes
    ]
    held_out = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def augment(
    images: Tensor, padding: int, generator: torch.Generator, *, size: int | None = None
) -> Tensor:
    """Crops images at random, with zero padding, and flips half of them.

    Args:
        images: uint8, N x H x W x C.
        size: the crop's side S; the image's own where it is None.

    Returns:
        uint8, N x C x S x S, channels last.
    """
    n, side = images.shape[:2]
    size = size or side
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    shift = torch.randint(0, side + 2 * padding - size + 1, (2, n, 1), generator=generator)
    flip = torch.rand(n, 1, generator=generator) < 0.5
    rows = shift[0] + torch.arange(size)
    cols = shift[1] + torch.where(flip, torch.arange(size - 1, -1, -1), torch.arange(size))
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], cols[:, None, :]].permute(
        0, 3, 1, 2
    )


def top1(model: nn.Module, images: Tensor, labels: Tensor, mean: Tensor, std: Tensor) -> float:
    """Returns the share of right answers in percent.

    Args:
        images: uint8, N x H x W x C.
        mean, std: 1 x C x 1 x 1, of pixels from 0 to 1.
    """
    model.eval()
    right = 0
    with torch.inference_mode():
        for x, y in zip(torch.split(images, 500), torch.split(labels, 500), strict=True):
            right += int(
                (model((x.permute(0, 3, 1, 2).float() / 255 - mean) / std).argmax(1) == y).sum()
            )
    return 100 * right / len(labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """The training images, which of them are held out, and what normalises them."""

    images: Tensor
    labels: Tensor
    kept: np.ndarray
    held_out: np.ndarray
    mean: Tensor
    std: Tensor


@dataclass(slots=True, kw_only=True)
class _Run:
    """A network on its way, with all that a checkpoint holds."""

    recipe: Recipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    steps: int
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": self.history,
        }
        with write_atomic(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path) -> None:
        """Goes on from a checkpoint.

        Raises:
            ArtifactError: it is another recipe's.
        """
        state = torch.load(path, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise ArtifactError(
                f"{path} was made by another recipe: {state['recipe']}, not {asdict(self.recipe)}",
                hint="pass another --out",
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = state["history"]


def train(recipe: Recipe, data: Path, out: Path) -> dict[str, object]:
    """Trains to the last epoch and writes weights and a JSON card to `out`.

    It goes on from `out`/checkpoint.pt where that is there.

    Returns:
        The card.

    Raises:
        DataError: the data set is not in `data`.
        ArtifactError: `out` holds the checkpoint of another recipe.
    """
    torch.manual_seed(recipe.seed)
    # gradients underflow to denormals near the end of the schedule, and those are 10x slower on x86
    torch.set_flush_denormal(True)
    held = _read(recipe, data)
    run = _start(recipe, steps=len(held.kept) // recipe.batch)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        run.resume(checkpoint)
        print(f"resumed after epoch {len(run.history)}", flush=True)
    for epoch in range(len(run.history), recipe.epochs):
        started = time.perf_counter()
        loss = _train_epoch(run, held, epoch)
        accuracy = top1(
            run.model, held.images[held.held_out], held.labels[held.held_out], held.mean, held.std
        )
        seconds = time.perf_counter() - started
        run.history.append(
            {"epoch": epoch + 1, "loss": loss, "held_out_top1": accuracy, "seconds": seconds}
        )
        print(
            f"epoch {epoch + 1}/{recipe.epochs}: loss {loss:.3f}, held-out top-1"
            f" {accuracy:.2f} %, {seconds:.0f} s",
            flush=True,
        )
        run.save(checkpoint)
    images, labels = idx.read_published(recipe.dataset, data, "test")
    accuracy = top1(
        run.model,
        torch.from_numpy(images),
        torch.from_numpy(labels.astype(np.int64)),
        held.mean,
        held.std,
    )
    return _write_weights(run, out, test_top1=accuracy, test_images=len(labels))


def _read(recipe: Recipe, folder: Path) -> _Data:
    spec = zoo.reference_spec(recipe.arch, recipe.dataset)
    images, labels = idx.read_published(recipe.dataset, folder, "train")
    kept, held_out = split_held_out(labels, HELD_OUT)
    rule = spec.preprocessing
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (rule.mean, rule.std))
    return _Data(
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels.astype(np.int64)),
        kept=kept,
        held_out=held_out,
        mean=mean,
        std=std,
    )


def _start(recipe: Recipe, *, steps: int) -> _Run:
    """A new network with its optimiser and schedule, for epochs of so many steps."""
    model = create(zoo.reference_spec(recipe.arch, recipe.dataset))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's stubs
    decay = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.SGD(
        [
            {"params": decay, "weight_decay": recipe.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ],
        lr=recipe.peak_lr,
        momentum=recipe.momentum,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_lr, total_steps=recipe.epochs * steps, cycle_momentum=False
    )
    return _Run(recipe=recipe, model=model, optimizer=optimizer, schedule=schedule, steps=steps)


def _train_epoch(run: _Run, data: _Data, epoch: int) -> float:
    """Trains one epoch and returns its mean loss."""
    recipe = run.recipe
    generator = torch.Generator().manual_seed(recipe.seed * 1_000 + epoch)
    order = torch.from_numpy(data.kept)[torch.randperm(len(data.kept), generator=generator)]
    is_small = epoch < recipe.small_epochs
    padding = 0 if is_small else CROP_PADDING[recipe.dataset]
    size = recipe.small_crop if is_small else None
    run.model.train()
    started, total = time.perf_counter(), 0.0
    for step in range(run.steps):
        picked = order[step * recipe.batch : (step + 1) * recipe.batch]
        crops = augment(data.images[picked], padding, generator, size=size)
        logits = run.model((crops.float() / 255 - data.mean) / data.std)
        loss = F.cross_entropy(logits, data.labels[picked], label_smoothing=recipe.label_smoothing)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        run.schedule.step()
        total += loss.item()
        if step % 50 == 49:
            left = (time.perf_counter() - started) / (step + 1) * (run.steps - step - 1)
            print(
                f"  epoch {epoch + 1} step {step + 1}/{run.steps} loss {total / (step + 1):.3f},"
                f" {left:.0f} s left",
                flush=True,
            )
    return total / run.steps


def _write_weights(
    run: _Run, out: Path, *, test_top1: float, test_images: int
) -> dict[str, object]:
    """Writes the weights and their card, and returns the card."""
    recipe = run.recipe
    weights = out / f"{recipe.arch}_{recipe.dataset.replace('-', '_')}.safetensors"
    state = {name: tensor.contiguous() for name, tensor in run.model.state_dict().items()}
    with write_atomic(weights) as temporary:
        require("safetensors.torch", extra="export").save_file(state, temporary)
    card: dict[str, object] = {
        "recipe": asdict(recipe),
        "held_out_images": HELD_OUT,
        "held_out_top1_percent": run.history[-1]["held_out_top1"],
        "test_top1_percent": test_top1,
        "test_images": test_images,
        "sha256": sha256_file(weights),
        "torch": torch.__version__,
        "history": run.history,
    }
    with write_atomic(weights.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    print(f"test top-1 {test_top1:.2f} % on {test_images} images; wrote {weights}", flush=True)
    return card


class _Dataset(str, Enum):
    FASHION_MNIST = "fashion-mnist"
    CIFAR10 = "cifar10"


class _Arch(str, Enum):
    SCNET20 = "scnet20"
    SCNET29 = "scnet29"


app = typer.Typer(add_completion=False)


@app.command()
def main(  # noqa: PLR0913  one parameter for each option of the command line
    *,
    dataset: Annotated[_Dataset, typer.Option(help="Data set to train on.")] = (
        _Dataset.FASHION_MNIST
    ),
    data: Annotated[
        Path, typer.Option(help="Folder of the published idx files, or of cifar10_*.npz.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the checkpoint, the weights and their card.")
    ],
    arch: Annotated[_Arch, typer.Option(help="Network.")] = _Arch.SCNET20,
    epochs: int = 15,
    seed: int = 0,
    peak_lr: float = 0.4,
    small_epochs: Annotated[
        int, typer.Option(help="Epochs at the beginning on 24-pixel crops.")
    ] = 0,
) -> None:
    """Train the reference weights."""
    recipe = Recipe(
        dataset=dataset.value,
        arch=arch.value,
        epochs=epochs,
        seed=seed,
        peak_lr=peak_lr,
        small_epochs=small_epochs,
    )
    try:
        train(recipe, data, out)
    except EdgeError as error:
        typer.echo(f"error: {error.message}\n\nhint: {error.hint}", err=True)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    app(prog_name="python -m edge_scnet.training")
