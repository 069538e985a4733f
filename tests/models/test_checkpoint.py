"""Checkpoints of every kind, strictly loaded; every refusal is read."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edge_scnet.models.checkpoint import read_checkpoint
from edge_scnet.models.foreign import content_of
from edge_scnet.models.load import load_torch
from edge_scnet.scnet import scnet20, scnet29
from tests.helpers.checkpoints import State, checkpoint, refused, saved


def assert_loads(path: Path, state: State) -> None:
    module = load_torch(checkpoint(path))
    assert not module.training
    loaded = module.state_dict()
    assert list(loaded) == list(state)
    for key, value in state.items():
        assert torch.equal(loaded[key], value), key


def test_the_official_layout_loads_unchanged(tmp_path: Path, state: State):
    assert_loads(saved(tmp_path / "a.pth", state), state)
    assert_loads(saved(tmp_path / "a.PTH", state), state)
    assert_loads(saved(tmp_path / "a.pt", state), state)


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [
        ("state_dict", ""),
        ("model", "module."),
        ("model_state_dict", "_orig_mod."),
        ("ema", "module._orig_mod."),
        ("state_dict_ema", "module."),
    ],
)
def test_wrapped_checkpoints(tmp_path: Path, state: State, wrapper: str, prefix: str):
    content = {
        "epoch": 3,
        wrapper: {prefix + key: value for key, value in state.items()},
        "optimizer": {"lr": 0.1},
    }
    assert_loads(saved(tmp_path / "a.pth", content), state)


def test_a_doubly_wrapped_checkpoint(tmp_path: Path, state: State):
    assert_loads(saved(tmp_path / "a.pth", {"model": {"state_dict": state}}), state)


def test_torchs_own_moving_average(tmp_path: Path, state: State):
    model = scnet20()
    model.load_state_dict(state)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    assert "n_averaged" in averaged.state_dict()
    assert_loads(saved(tmp_path / "a.pth", averaged.state_dict()), state)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema", "ema_state_dict"])
def test_the_moving_average_is_preferred_and_the_docstring_says_so(
    tmp_path: Path, state: State, key: str
):
    average = {name: value + 1 for name, value in state.items()}
    assert_loads(
        saved(tmp_path / "a.pth", {"model": state, "state_dict": state, key: average}), average
    )
    assert "moving average" in str(read_checkpoint.__doc__)


def test_safetensors(tmp_path: Path, state: State):
    save_file(state, tmp_path / "a.safetensors")
    assert_loads(tmp_path / "a.safetensors", state)


def test_old_checkpoints_without_num_batches_tracked(tmp_path: Path, state: State):
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    assert_loads(saved(tmp_path / "a.pth", old), state)


def test_half_precision_weights_become_float32(tmp_path: Path, state: State):
    half = {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
    module = load_torch(checkpoint(saved(tmp_path / "a.pth", half)))
    assert torch.equal(module.state_dict()["fc.weight"], half["fc.weight"].float())


# Checkpoints that do not fit


@pytest.mark.parametrize(
    ("made", "asked", "hint"),
    [
        ({"num_classes": 7}, {}, "the checkpoint has 7 classes: pass --num-classes 7"),
        ({"in_channels": 1}, {}, "the checkpoint has 1 input channels: pass --channels 1"),
        (
            {"num_classes": 7, "in_channels": 1},
            {},
            (
                "the checkpoint has 7 classes: pass --num-classes 7, and 1 input channels: pass"
                " --channels 1"
            ),
        ),
        ({}, {"num_classes": 1000}, "the checkpoint has 10 classes: pass --num-classes 10"),
    ],
)
def test_other_classes_or_channels_say_what_to_pass(
    tmp_path: Path, made: dict[str, int], asked: dict[str, int], hint: str
):
    path = saved(tmp_path / "a.pth", scnet20(**made).state_dict())
    error = refused(load_torch, checkpoint(path, **asked))
    assert error.hint == hint
    assert f"{path} does not fit scnet20: " in error.message and "wrongly shaped: " in error.message


def test_wrong_shapes_are_shown_both_ways(tmp_path: Path):
    error = refused(load_torch, checkpoint(saved(tmp_path / "a.pth", scnet20(7).state_dict())))
    assert error.message.endswith(
        "2 wrongly shaped: fc.bias: (7,), scnet20 has (10,), fc.weight: (7, 256), scnet20 has (10,"
        " 256)"
    )


def test_another_architecture_lists_missing_and_unexpected_keys(tmp_path: Path, state: State):
    error = refused(load_torch, checkpoint(saved(tmp_path / "a.pth", state), arch="scnet29"))
    assert (
        "missing: layer1.2.bn1_a.bias, layer1.2.bn1_a.running_mean, layer1.2.bn1_a.running_var, ..."
        in error.message
    )
    assert "unexpected" not in error.message
    assert (
        error.hint
        == "another --arch? known: scnet50, scnet50_v1d, scnet101, scnet101_v1d, scnet20, scnet29"
    )
    error = refused(load_torch, checkpoint(saved(tmp_path / "b.pth", scnet29().state_dict())))
    assert "unexpected: layer1.2.bn1_a.bias" in error.message and "missing" not in error.message
    assert str(error.hint).startswith("another --arch?")


def test_missing_unexpected_and_shapes_come_together(tmp_path: Path, state: State):
    damaged = {**state, "head.weight": torch.zeros(1), "bn1.bias": torch.zeros(3)}
    del damaged["fc.bias"]
    error = refused(load_torch, checkpoint(saved(tmp_path / "a.pth", damaged)))
    assert error.message.endswith(
        "1 missing: fc.bias; 1 unexpected: head.weight; 1 wrongly shaped: bn1.bias: (3,), scnet20"
        " has (16,)"
    )


def test_a_wrong_shape_elsewhere_does_not_blame_the_classes(tmp_path: Path, state: State):
    error = refused(
        load_torch,
        checkpoint(saved(tmp_path / "a.pth", {**state, "layer1.0.bn3.bias": torch.zeros(2)})),
    )
    assert str(error.hint).startswith("another --arch?")
    both = {**scnet20(7).state_dict(), "layer1.0.bn3.bias": torch.zeros(2)}
    assert str(refused(load_torch, checkpoint(saved(tmp_path / "b.pth", both))).hint).startswith(
        "another --arch?"
    )


def test_the_same_key_with_and_without_a_prefix(tmp_path: Path, state: State):
    both = {**state, "module.fc.bias": state["fc.bias"] + 1}
    assert (
        "holds 'fc.bias' twice" in refused(read_checkpoint, saved(tmp_path / "a.pth", both)).message
    )


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("fc.weight", torch.zeros(10, 256).to_sparse(), "sparse"),
        ("fc.weight", torch.zeros(10, 256, device="meta"), "without values"),
        ("fc.weight", torch.zeros(10, 256, dtype=torch.complex64), "complex"),
        ("fc.weight", torch.zeros(10, 256, dtype=torch.int64), "of the type int64"),
    ],
)
def test_tensors_that_hold_no_plain_numbers(
    tmp_path: Path, state: State, key: str, value: torch.Tensor, kind: str
):
    path = saved(tmp_path / "a.pth", {**state, key: value})
    error = refused(load_torch, checkpoint(path))
    assert error.message.startswith(f"{path}: {key!r} is {kind}")


@pytest.mark.parametrize("key", ["fc.weight", "conv1.weight"])
def test_a_weight_without_axes(tmp_path: Path, state: State, key: str):
    error = refused(
        load_torch, checkpoint(saved(tmp_path / "a.pth", {**state, key: torch.tensor(1.0)}))
    )
    assert f"1 wrongly shaped: {key}: ()" in error.message


# Files that are no checkpoints


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([1, 2], "list"),
        ({"epoch": 1, "lr": 0.1}, "epoch, lr"),
        ({}, "nothing"),
        ({"state_dict": {}}, "nothing"),
        (torch.zeros(2), "Tensor"),
    ],
)
def test_a_pickle_that_is_no_state_dict(tmp_path: Path, content: object, found: str):
    error = refused(read_checkpoint, saved(tmp_path / "a.pth", content))
    assert error.message == f"{tmp_path / 'a.pth'} is not a state dict: found {found}"
    assert error.hint == "save it with torch.save(model.state_dict(), path)"


def test_keys_that_are_not_strings(tmp_path: Path):
    error = refused(load_torch, checkpoint(saved(tmp_path / "a.pth", {0: torch.zeros(2)})))
    assert "1 unexpected: 0" in error.message


class Payload:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.proof,))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_refused_and_the_code_does_not_run(
    tmp_path: Path, state: State, legacy: bool
):
    proof, path = tmp_path / "ran", tmp_path / "a.pth"
    content = {**state, "fc.bias": Payload(proof)}
    if legacy:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    error = refused(read_checkpoint, path)
    assert not proof.exists()
    assert "it holds pickled objects" in error.message and "objects could run code" in error.message
    assert (
        "weights_only" not in error.message
    )  # torch's advice to turn the check off is not passed on
    if legacy:
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert proof.exists(), "the payload is a dud: this test proves nothing"


def test_a_whole_pickled_model_is_refused_by_the_name_of_its_class(tmp_path: Path):
    error = refused(read_checkpoint, saved(tmp_path / "a.pth", scnet20()))
    assert "(edge_scnet.scnet.SCNet)" in error.message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.00001, 0.5, 0.999])
def test_truncated_files(tmp_path: Path, state: State, suffix: str, share: float):
    path = tmp_path / f"a{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    error = refused(read_checkpoint, path)
    assert error.message.startswith(f"{path} is not a checkpoint of plain weights: ")
    assert "cut short" in str(error.hint)


def test_text_under_a_checkpoints_name(tmp_path: Path):
    for suffix in (".pth", ".safetensors"):
        (tmp_path / f"a{suffix}").write_text("<html>404</html>")
        assert "is not a checkpoint" in refused(read_checkpoint, tmp_path / f"a{suffix}").message


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_plain_weights_of_any_pickle_protocol_are_weights(
    tmp_path: Path, state: State, protocol: int
):
    path = tmp_path / "a.pth"
    torch.save(state, path, pickle_protocol=protocol)
    assert content_of(path) == "weights"
