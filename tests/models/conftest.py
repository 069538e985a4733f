"""The weights that the checkpoints of these tests hold."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from edge_scnet.scnet import scnet20
from tests.helpers.checkpoints import State


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return scnet20().state_dict()


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a user's module in it; sys.path and sys.modules are put back."""
    (tmp_path / "user_model.py").write_text(
        "import torch\ndef net():\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1),"
        " torch.nn.Dropout())\ndef half():\n    return torch.nn.Conv2d(3, 2, 1).bfloat16()\ndef"
        " poisoned():\n    m = torch.nn.Conv2d(3, 2, 1); m.bias.data[0] = float('nan'); return"
        " m\ndef text():\n    return 'a model'\ndef broken():\n    raise RuntimeError('no weights"
        " here')\nnumber = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "user_model", raising=False)
    yield tmp_path
    sys.modules.pop("user_model", None)
