"""Boards that a bundle is compiled on, and those that are refused."""

from __future__ import annotations

import pytest

from edge_scnet.compile.board import check_board
from edge_scnet.config.target import load_target
from edge_scnet.errors import MissingRuntimeError, StorageError, TargetError
from edge_scnet.machine.jetson import UNKNOWN_MODEL
from edge_scnet.runtimes.tensorrt import backend
from tests.helpers.tensorrt import JETSON, ORIN, on_board


@pytest.mark.parametrize(
    ("model", "version", "free", "target", "error", "words"),
    [
        (
            "NVIDIA Jetson Nano Developer Kit",
            "8.2.1",
            9999,
            "jetson",
            TargetError,
            "computes no INT8",
        ),
        ("quill jetson tx2", "8.2.1", 9999, "jetson", TargetError, "computes no INT8"),
        (ORIN, None, 9999, "jetson", MissingRuntimeError, "'tensorrt' is not installed"),
        (None, "10.3.0", 9999, "jetson", TargetError, "is no Jetson"),
        (
            "NVIDIA Jetson AGX Thor",
            "10.13.0",
            9999,
            "jetson",
            TargetError,
            "this board is NVIDIA Jetson AGX Thor",
        ),
        (ORIN, "8.6.2", 9999, "jetson", TargetError, "TensorRT 8.6.2 is on this board"),
        (ORIN, "12.0", 9999, "jetson", TargetError, "TensorRT 12.0 is on this board"),
        (
            ORIN,
            "10.3.0",
            900,
            "jetson",
            StorageError,
            "900 MiB of memory are free, the build may take 1,536",
        ),
        (ORIN, "10.3.0", 9999, "cpu", TargetError, "is no target of a board"),
    ],
)
def test_another_board_is_refused(
    model: str | None,
    version: str | None,
    free: int,
    target: str,
    error: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_board(monkeypatch, model, version, free)
    with pytest.raises(error, match=words) as caught:
        check_board(load_target(target))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (UNKNOWN_MODEL, "jetson"),  # a container; TensorRT itself refuses another GPU's kernels
        ("NVIDIA IGX Orin Developer Kit", "jetson"),
        ("NVIDIA IGX Orin Developer Kit", None),
    ],
)
def test_a_board_without_the_word_is_taken(
    model: str, target: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_board(monkeypatch, model, "10.3.0")
    if target is not None:
        check_board(load_target(target))
    else:
        with pytest.raises(TargetError, match="is for orin nx"):
            check_board(load_target("jetson-orin-nx"))


@pytest.mark.parametrize(
    ("model", "version", "target", "hint"),
    [
        (ORIN, "8.6.2", "jetson", "--target jetson-orin-trt8"),
        ("NVIDIA Jetson Xavier NX Developer Kit", "8.5.2", "jetson-xavier", None),
        (ORIN, "8.5.2", "jetson-orin-trt8", None),
        (ORIN, "11.4.1", "jetson-orin-nano", "--target jetson"),
        (ORIN, "9.0", "jetson", "no target is for this board"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "11.4.1", "jetson-agx-orin", None),
        ("NVIDIA Jetson AGX Thor Developer Kit", "11.4.1", "jetson-thor", None),
        ("NVIDIA Jetson AGX Thor Developer Kit", "10.3.0", "jetson-thor", "no target is for"),
    ],
)
def test_the_target_for_a_release_is_named(
    model: str, version: str, target: str, hint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_board(monkeypatch, model, version, 99_999)
    if hint is None:
        check_board(load_target(target))
        return
    with pytest.raises(TargetError, match=f"TensorRT {version} is on this board") as caught:
        check_board(load_target(target))
    assert hint in str(caught.value.hint)


def test_fp16_alone_is_built_by_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(monkeypatch, "NVIDIA Jetson Nano Developer Kit", "8.2.1")
    with pytest.raises(TargetError, match=r"built and timed by build\.sh") as caught:
        check_board(load_target("jetson-fp16"))
    assert "sh build.sh" in str(caught.value.hint)


def test_its_own_board_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(monkeypatch, ORIN, "10.3.0.30")
    check_board(JETSON)
    check_board(load_target("jetson-orin-nano"))
    with pytest.raises(TargetError, match="is for orin nx"):
        check_board(load_target("jetson-orin-nx"))


def test_a_package_that_tells_no_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as version 0, which no target takes."""
    on_board(monkeypatch, ORIN, "10.3.0")
    monkeypatch.setattr(backend.TensorRt, "versions", lambda self: {})
    monkeypatch.setattr(backend.TensorRt, "preload", lambda self: None)
    with pytest.raises(TargetError, match="TensorRT does not tell its version"):
        check_board(JETSON)
