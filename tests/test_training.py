"""The recipe on a toy data set: the split, the augmentation, resuming bit for bit, and the card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file

from edge_scnet import training
from edge_scnet.core.files import sha256_file
from edge_scnet.data import idx
from edge_scnet.errors import ArtifactError
from edge_scnet.models import zoo
from edge_scnet.models.architectures import create
from edge_scnet.training import HELD_OUT, Recipe, augment, split_held_out, train
from tests.helpers.tool import run_app

RECIPE = Recipe(
    dataset="fashion-mnist", arch="scnet20", epochs=2, batch=16, peak_lr=0.1, small_epochs=1
)
WEIGHTS = sorted((Path(zoo.__file__).parent / "weights").glob("*.safetensors"))
FILE = "scnet20_fashion_mnist.safetensors"


def test_the_split_holds_out_5000_the_same_number_of_each_class_for_ever():
    labels = np.random.default_rng(3).permutation(np.repeat(np.arange(10), 6_000))
    kept, held = split_held_out(labels)
    assert (HELD_OUT, len(kept), len(held)) == (5_000, 55_000, 5_000)
    assert np.bincount(labels[held]).tolist() == [500] * 10
    assert not np.intersect1d(kept, held).size
    assert np.array_equal(np.union1d(kept, held), np.arange(60_000))
    again = split_held_out(labels)
    assert np.array_equal(again[0], kept) and np.array_equal(again[1], held)


@pytest.mark.parametrize(("channels", "padding", "size"), [(1, 2, 6), (3, 2, 6), (1, 0, 2)])
def test_augmentation_is_a_crop_within_the_padding_and_a_flip(
    channels: int, padding: int, size: int
):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(1, 256, (64, 6, 6, channels), dtype=np.uint8))
    out = augment(
        images, padding, torch.Generator().manual_seed(0), size=None if size == 6 else size
    )
    assert (tuple(out.shape), out.dtype) == ((64, channels, size, size), torch.uint8)
    assert out.is_contiguous(memory_format=torch.channels_last)
    padded = np.pad(images.numpy(), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    seen = set()
    for image, crop in zip(padded, out.permute(0, 2, 3, 1).numpy(), strict=True):
        windows = {
            (top, left, flip): image[top : top + size, left : left + size][:, :: -1 if flip else 1]
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
        }
        found = [place for place, window in windows.items() if np.array_equal(window, crop)]
        assert len(found) == 1, "not a crop of its own image"
        seen.add(found[0])
    tops, lefts, flips = (set(values) for values in zip(*seen, strict=True))
    assert tops == lefts == set(range(5)) and flips == {False, True}


def test_augmentation_without_padding_is_the_image_or_its_mirror():
    images = torch.arange(32, dtype=torch.uint8).reshape(2, 4, 4, 1)
    out = augment(images, 0, torch.Generator().manual_seed(1))[:, 0]
    for image, crop in zip(images[..., 0], out, strict=True):
        assert torch.equal(crop, image) or torch.equal(crop, image.flip(1))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """100 training and 30 test images, 40 of the former held out; one thread, so that sums have one
    order.
    """
    sets = {}
    for split, count in (("train", 100), ("test", 30)):
        rng = np.random.default_rng(len(split))
        labels = np.arange(count, dtype=np.uint8) % 10
        images = rng.integers(0, 60, (count, 28, 28, 1), dtype=np.uint8)
        images[np.arange(count), labels * 2 + 2] += 180  # each class a bright row of its own
        sets[split] = (images, labels)
    monkeypatch.setattr(idx, "read_published", lambda name, folder, split: sets[split])
    monkeypatch.setattr(training, "HELD_OUT", 40)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)  # `train` sets it for the whole process


@pytest.mark.slow
def test_an_interrupted_run_ends_bit_for_bit_as_an_uninterrupted_one(
    toy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    card = train(RECIPE, tmp_path, whole)

    calls = []

    def interrupted(*arguments: object) -> float:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measured(*arguments)

    with monkeypatch.context() as patch:
        measured = training.top1
        patch.setattr(training, "top1", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(RECIPE, tmp_path, parts)
    assert [p.name for p in parts.iterdir()] == ["checkpoint.pt"]
    capsys.readouterr()
    resumed = train(RECIPE, tmp_path, parts)
    assert "resumed after epoch 1" in capsys.readouterr().out

    assert (parts / FILE).read_bytes() == (whole / FILE).read_bytes()
    results = ("sha256", "test_top1_percent", "held_out_top1_percent")
    assert {k: resumed[k] for k in results} == {k: card[k] for k in results}

    # the card
    written = json.loads((whole / FILE).with_suffix(".json").read_text())
    assert written == card
    assert written["sha256"] == sha256_file(whole / FILE)
    assert (written["held_out_images"], written["test_images"], len(written["history"])) == (
        40,
        30,
        2,
    )
    assert (
        written["recipe"]["epochs"] == 2
        and written["history"][-1]["held_out_top1"] == written["held_out_top1_percent"]
    )
    assert [epoch["epoch"] for epoch in written["history"]] == [1, 2]
    assert np.isfinite([epoch["loss"] for epoch in written["history"]]).all()
    # the weights are what the zoo loads under that name
    assert zoo.FASHION_MNIST.weights == FILE
    create(zoo.FASHION_MNIST).load_state_dict(load_file(whole / FILE), strict=True)

    with pytest.raises(
        ArtifactError, match=r"checkpoint.pt was made by .*'seed': 0.* not .*'seed': 1"
    ):
        train(replace(RECIPE, seed=1), tmp_path, whole)


def test_held_out_images_are_never_trained_on(
    toy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    images, labels = idx.read_published("fashion-mnist", tmp_path, "train")
    _, held = split_held_out(labels, 40)
    seen: list[bytes] = []
    real = training.augment

    def spy(
        picked: torch.Tensor, padding: int, generator: torch.Generator, **options: object
    ) -> torch.Tensor:
        seen.extend(image.numpy().tobytes() for image in picked)
        assert padding == 2
        return real(picked, padding, generator, **options)

    monkeypatch.setattr(training, "augment", spy)
    train(replace(RECIPE, epochs=1, small_epochs=0), tmp_path, tmp_path / "out")
    assert len(set(seen)) == len(seen) == 48  # three batches of 16, each image once
    assert not set(seen) & {images[i].tobytes() for i in held}


def test_cards_beside_the_committed_weights_match_them():
    cards = [path for path in WEIGHTS if path.with_suffix(".json").is_file()]
    if not cards:
        pytest.skip("no weights with a card in edge_scnet/weights yet")
    for path in cards:
        card = json.loads(path.with_suffix(".json").read_text())
        assert card["sha256"] == sha256_file(path), path.name
        assert (
            path.name
            == f"{card['recipe']['arch']}_{card['recipe']['dataset'].replace('-', '_')}.safetensors"
        )
        assert card["held_out_images"] == HELD_OUT


def run(*arguments: str) -> Result:
    return run_app(arguments, of=training.app)


def test_the_command_has_the_options_of_the_recipe():
    shown = run("--help").stdout
    for option in ("--dataset", "--data", "--out", "--arch", "--epochs", "--seed", "--peak-lr"):
        assert option in shown


def test_the_command_trains_by_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[Recipe, Path, Path]] = []
    monkeypatch.setattr(training, "train", lambda *arguments: calls.append(arguments))
    result = run(
        *("--dataset", "cifar10", "--data", str(tmp_path), "--out", str(tmp_path / "out")),
        *("--arch", "scnet29", "--epochs", "3", "--small-epochs", "1"),
    )
    assert result.exit_code == 0, result.output
    wanted = Recipe(dataset="cifar10", arch="scnet29", epochs=3, small_epochs=1)
    assert calls == [(wanted, tmp_path, tmp_path / "out")]


def test_the_command_says_what_is_missing_and_exits_with_its_code(tmp_path: Path):
    result = run("--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert result.exit_code == 4
    assert result.stderr.startswith("error: cannot read ") and "hint: " in result.stderr
    assert run("--dataset", "mnist", "--data", "a", "--out", "b").exit_code == 2
