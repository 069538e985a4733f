"""A target of TensorRT needs its board."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.config.target import load_target
from edge_scnet.errors import MissingRuntimeError, TargetError
from edge_scnet.runtimes.tensorrt import backend, cuda
from tests.helpers.tensorrt import JETSON, fake_trtexec, with_tensorrt


def test_a_target_of_tensorrt_needs_its_board() -> None:
    for changes, words in (
        ({"board": None}, r"\[board\] is missing"),
        ({"isa": "avx2"}, 'isa is "avx2"'),
        ({"device": "CPU"}, "device 'CPU'"),
        ({"quant": load_target("cpu").quant}, 'needs "tensorrt"'),
    ):
        with pytest.raises(TargetError, match=words):
            backend.TENSORRT.check_target(replace(JETSON, **changes))


def _package(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    # what is imported from it goes again: only what was set is put back
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    del sys.modules["tensorrt"]


def test_the_version_of_a_package_that_was_copied_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in a virtual environment, without the metadata that pip or apt write beside it."""
    _package(tmp_path, '__version__ = "10.3.0"', monkeypatch)
    assert backend.TENSORRT.versions() == {"TensorRT": "10.3.0"}
    made = tmp_path / "tensorrt_cu13_bindings-11.4.1.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Name: tensorrt_cu13_bindings\nVersion: 11.4.1\n")
    importlib.invalidate_caches()
    assert backend.TENSORRT.versions() == {"TensorRT": "11.4.1"}


def _metadata(folder: Path, name: str, version: str) -> None:
    made = folder / f"{name}-{version}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    importlib.invalidate_caches()


def test_the_version_is_that_of_the_package_that_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip's wheel in a virtual environment comes before JetPack's in dist-packages."""
    board, own = tmp_path / "dist-packages", tmp_path / "venv"
    _metadata(board, "tensorrt", "10.3.0")
    (board / "tensorrt").mkdir()
    (board / "tensorrt" / "__init__.py").write_text('__version__ = "10.3.0"')
    monkeypatch.syspath_prepend(str(board))
    own.mkdir()
    _package(own, '__version__ = "10.13.3"', monkeypatch)
    _metadata(own, "tensorrt_cu12", "10.13.3.9")
    assert backend.TENSORRT.versions() == {"TensorRT": "10.13.3.9"}
    # two wheels wrote into one folder: what is there tells itself
    _metadata(own, "tensorrt", "10.7.0")
    assert backend.TENSORRT.versions() == {"TensorRT": "10.13.3"}


# OSError: of packages that load it by ctypes
@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_a_package_without_its_libraries_is_told(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = f'raise {error}("libnvinfer.so.10: cannot open shared object file")'
    _package(tmp_path, missing, monkeypatch)
    assert backend.TENSORRT.versions() == {}
    with pytest.raises(MissingRuntimeError, match=r"cannot be loaded: libnvinfer\.so\.10"):
        backend.TENSORRT.preload()


def test_trtexec_times_where_python_cannot_run_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_trtexec(tmp_path / "trtexec", "v100300")
    monkeypatch.setenv("TRTEXEC", str(program))
    with_tensorrt(monkeypatch, "10.3.0")
    monkeypatch.setattr(cuda, "unavailable", lambda: "this CUDA runtime is for a newer driver")
    assert backend.TENSORRT.timing_program() == program
    monkeypatch.setattr(cuda, "unavailable", lambda: None)
    assert backend.TENSORRT.timing_program() is None
