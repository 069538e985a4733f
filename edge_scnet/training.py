"""Trains the reference weights: `python -m edge_scnet.training --dataset fashion-mnist --data DIR
--out DIR`.

Owns the recipe and the hold-out split; nothing else imports it. A run is resumable at every epoch:
the augmentation of an epoch is drawn from (seed, epoch), and model, optimiser and schedule are
saved together. 5,000 training images (the same number of each class) are held out for choosing; the
test set is measured once, when training is over.

Recipe: SGD with Nesterov momentum 0.9, batch 256, OneCycle to 0.4, weight decay 5e-4 on tensors of
two dimensions and more, label smoothing 0.05, random crop with zero padding, horizontal flip,
float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch  # noqa: TID253  this module is a program of its own: training is all it does
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from edge_scnet.core.files import sha256_file, write_atomic
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
    """Indices (train, held out): `count` of them held out, the same number of each class, fixed for
    ever by seed 0.
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
    """Random crop with zero padding and horizontal flip; uint8 N x H x W x C in, uint8 N x C x S x
    S (channels last) out.

    `size` is the crop's side S, by default the image's own.
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
    """Share of right answers in percent, uint8 N x H x W x C in."""
    model.eval()
    right = 0
    with torch.inference_mode():
        for x, y in zip(torch.split(images, 500), torch.split(labels, 500), strict=True):
            right += int(
                (model((x.permute(0, 3, 1, 2).float() / 255 - mean) / std).argmax(1) == y).sum()
            )
    return 100 * right / len(labels)


def train(recipe: Recipe, data: Path, out: Path) -> dict[str, object]:
    """Trains to the last epoch (resuming from `out`/checkpoint.pt) and writes weights and a JSON
    card to `out`.

    Raises:
        DataError: the data set is not in `data`.
        ArtifactError: `out` holds the checkpoint of another recipe.
    """
    torch.manual_seed(recipe.seed)
    # gradients underflow to denormals near the end of the schedule, and those are 10x slower on x86
    torch.set_flush_denormal(True)
    spec = zoo.reference_spec(recipe.arch, recipe.dataset)
    train_images, train_labels = idx.read_published(recipe.dataset, data, "train")
    kept, held = split_held_out(train_labels, HELD_OUT)
    images, labels = torch.from_numpy(train_images), torch.from_numpy(train_labels.astype(np.int64))
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (spec.mean, spec.std))

    model = create(spec)
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
    steps = len(kept) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.peak_lr, total_steps=recipe.epochs * steps, cycle_momentum=False
    )

    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    history: list[dict[str, float]] = []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["recipe"] != asdict(recipe):
            raise ArtifactError(
                f"{checkpoint} was made by another recipe: {state['recipe']}, not {asdict(recipe)}",
                hint="pass another --out",
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history = state["history"]
        print(f"resumed after epoch {len(history)}", flush=True)

    for epoch in range(len(history), recipe.epochs):
        generator = torch.Generator().manual_seed(recipe.seed * 1_000 + epoch)
        order = torch.from_numpy(kept)[torch.randperm(len(kept), generator=generator)]
        padding, size = (
            (0, recipe.small_crop)
            if epoch < recipe.small_epochs
            else (CROP_PADDING[recipe.dataset], None)
        )
        model.train()
        started, total = time.perf_counter(), 0.0
        for step in range(steps):
            picked = order[step * recipe.batch : (step + 1) * recipe.batch]
            x = (augment(images[picked], padding, generator, size=size).float() / 255 - mean) / std
            loss = F.cross_entropy(model(x), labels[picked], label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
            if step % 50 == 49:
                left = (time.perf_counter() - started) / (step + 1) * (steps - step - 1)
                print(
                    f"  epoch {epoch + 1} step {step + 1}/{steps} loss {total / (step + 1):.3f},"
                    f" {left:.0f} s left",
                    flush=True,
                )
        accuracy = top1(model, images[held], labels[held], mean, std)
        seconds = time.perf_counter() - started
        history.append(
            {
                "epoch": epoch + 1,
                "loss": total / steps,
                "held_out_top1": accuracy,
                "seconds": seconds,
            }
        )
        print(
            f"epoch {epoch + 1}/{recipe.epochs}: loss {total / steps:.3f}, held-out top-1"
            f" {accuracy:.2f} %, {seconds:.0f} s",
            flush=True,
        )
        state = {
            "recipe": asdict(recipe),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "history": history,
        }
        with write_atomic(checkpoint) as temporary:
            torch.save(state, temporary)

    return _finish(recipe, data, out, model, history, mean, std)


def _finish(
    recipe: Recipe,
    data: Path,
    out: Path,
    model: nn.Module,
    history: list[dict[str, float]],
    mean: Tensor,
    std: Tensor,
) -> dict[str, object]:
    from safetensors.torch import save_file

    test_images, test_labels = idx.read_published(recipe.dataset, data, "test")
    accuracy = top1(
        model,
        torch.from_numpy(test_images),
        torch.from_numpy(test_labels.astype(np.int64)),
        mean,
        std,
    )
    weights = out / f"{recipe.arch}_{recipe.dataset.replace('-', '_')}.safetensors"
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    with write_atomic(weights) as temporary:
        save_file(state, temporary)
    card: dict[str, object] = {
        "recipe": asdict(recipe),
        "held_out_images": HELD_OUT,
        "held_out_top1_percent": history[-1]["held_out_top1"],
        "test_top1_percent": accuracy,
        "test_images": len(test_labels),
        "sha256": sha256_file(weights),
        "torch": torch.__version__,
        "history": history,
    }
    with write_atomic(weights.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n")
    print(f"test top-1 {accuracy:.2f} % on {len(test_labels)} images; wrote {weights}", flush=True)
    return card


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m edge_scnet.training", description="Trains the reference weights."
    )
    parser.add_argument("--dataset", choices=sorted(CROP_PADDING), default="fashion-mnist")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of the published idx files, or of cifar10_*.npz",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for the checkpoint, the weights and their card",
    )
    parser.add_argument("--arch", choices=("scnet20", "scnet29"), default="scnet20")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peak-lr", type=float, default=0.4)
    parser.add_argument(
        "--small-epochs", type=int, default=0, help="epochs at the beginning on 24-pixel crops"
    )
    args = parser.parse_args(argv)
    recipe = Recipe(
        dataset=args.dataset,
        arch=args.arch,
        epochs=args.epochs,
        seed=args.seed,
        peak_lr=args.peak_lr,
        small_epochs=args.small_epochs,
    )
    try:
        train(recipe, args.data, args.out)
    except EdgeError as error:
        print(f"error: {error.message}\n\nhint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(sys.argv[1:])
