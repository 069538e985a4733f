"""The names of `edge_scnet` are there, and importing it does not bring the pipeline."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edge_scnet
from edge_scnet.errors import EdgeError
from edge_scnet.pipeline import build, predict, profile, quantized


def test_every_public_name_is_there() -> None:
    assert all(hasattr(edge_scnet, name) for name in edge_scnet.__all__)
    assert set(edge_scnet.__all__) <= set(dir(edge_scnet))
    assert edge_scnet.build is build.build
    assert edge_scnet.predict is predict.predict
    assert edge_scnet.profile is profile.profile
    assert edge_scnet.quantize is quantized.quantize
    assert edge_scnet.EdgeError is EdgeError


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'biuld'"):
        edge_scnet.biuld  # noqa: B018  the access is what raises


def test_the_package_imports_neither_the_pipeline_nor_numpy() -> None:
    code = "import sys, edge_scnet; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"edge_scnet.pipeline", "numpy"} & set(done.stdout.split())
