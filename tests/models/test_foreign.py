"""What a file of torch holds, told without running it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.models.foreign import Content, content_of
from edge_scnet.models.zoo import resolve
from tests.helpers.checkpoints import refused

WEIGHTS = nn.Conv2d(1, 2, 3).state_dict()


class Own(nn.Conv2d):
    """A module of the user's own."""


def old(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, old])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (WEIGHTS, "weights"),
        ({"state_dict": WEIGHTS, "args": argparse.Namespace(lr=1), "n": np.float64(1)}, "weights"),
        (Own(1, 2, 3), "a pickled module"),
        (nn.Sequential(nn.Linear(2, 2)), "a pickled module"),
        ({"model": Own(1, 2, 3)}, "a pickled module"),
    ],
)
def test_pickled_modules_are_told_from_weights(
    tmp_path: Path, save: Callable[[object, Path], None], content: object, found: Content
):
    save(content, tmp_path / "a.pt")
    assert content_of(tmp_path / "a.pt") == found


def test_torchscript(tmp_path: Path):
    torch.jit.script(nn.Conv2d(1, 2, 3)).save(tmp_path / "a.pt")
    assert content_of(tmp_path / "a.pt") == "TorchScript"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02garbage", b"no pickle"])
def test_what_cannot_be_read_is_left_to_the_reader(tmp_path: Path, content: bytes):
    (tmp_path / "a.pt").write_bytes(content)
    assert content_of(tmp_path / "a.pt") == "weights"


@pytest.mark.parametrize(
    ("offset", "value"),
    # of an entry of the archive's directory: flags, way of packing, the name's first letter
    [(8, b"\x01\x00"), (10, b"\x63\x00"), (46, b"\xb0")],
)
def test_a_damaged_directory_of_the_archive(tmp_path: Path, offset: int, value: bytes):
    path = tmp_path / "a.pt"
    torch.save(WEIGHTS, path)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02") + offset
    data[entry : entry + len(value)] = value
    if offset == 46:
        data[entry - 46 + 9] |= 0x08  # the name is UTF-8
    path.write_bytes(data)
    assert content_of(path) == "weights"


@pytest.mark.parametrize("arch", [None, "scnet20"])
def test_the_way_out_is_a_factory(tmp_path: Path, arch: str | None):
    path = tmp_path / "a.pt"
    torch.save(Own(1, 2, 3), path)
    error = refused(resolve, str(path), ModelOptions(arch=arch))
    assert error.message.startswith(f"{path} is a pickled module, which is not read")
    torch.save(WEIGHTS, path)
    of_weights = refused(resolve, str(path), ModelOptions())
    assert "which architecture is it?" in of_weights.message
    for hint in (str(error.hint), str(of_weights.hint)):
        assert "package.module:net" in hint and "edge_scnet.build(model)" in hint
