"""What `doctor` tells of a board, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.errors import MissingRuntimeError
from edge_scnet.machine import jetson
from edge_scnet.machine.board_facts import BoardFacts
from edge_scnet.runtimes.tensorrt import board_rows, cuda
from tests.helpers.machines import act
from tests.helpers.tensorrt import ORIN, fake_trtexec, with_tensorrt

# told and advice, by row
Board = Callable[..., dict[str, tuple[str, str | None]]]
_CUDA = cuda.CudaState(title="/opt/libcudart.so.12", runtime="12.6", driver="12.6")
_GOOD = BoardFacts(
    model=ORIN,
    l4t="36.4.3",
    jetpack="6.2",
    driver="541.2.0",
    cuda_toolkit="12.6.11",
    power_mode="MAXN_SUPER",
    gpu_low_mhz=1020,
    gpu_high_mhz=1020,
    free_memory_bytes=6 << 30,
    memory_bytes=8 << 30,
    free_disk_bytes=9 << 30,
)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """The rows of a board by name, of which all is as it should be but what the test says."""
    monkeypatch.setattr(cuda, "state", lambda: _CUDA)

    def rows(
        python: str | None = "10.3.0",
        trtexec: str | None = "100300",
        banner: bool = True,
        fault: Exception | None = None,
        **changes: Any,
    ) -> dict[str, tuple[str, str | None]]:
        facts = replace(_GOOD, **changes)
        known = facts.model != jetson.UNKNOWN_MODEL
        act(monkeypatch, {"/proc/device-tree/model": facts.model} if known else {})
        monkeypatch.setattr(jetson, "model", lambda: facts.model)
        monkeypatch.setattr(board_rows, "board_facts", lambda model: facts)
        with_tensorrt(monkeypatch, python, fault)
        program = None
        if trtexec is not None:
            program = fake_trtexec(tmp_path / "trtexec", trtexec, banner=banner)
        monkeypatch.setattr(board_rows, "find_trtexec", lambda: program)
        return {row.name: (row.told, row.advice) for row in board_rows.board_rows()}

    return rows


def test_a_board_that_is_ready(board: Board) -> None:
    rows = board()
    assert [advice for _, advice in rows.values()] == [None] * 9
    assert rows["board"][0] == f"{ORIN} (jetson, jetson-orin-nano)"
    older = board(python="8.6.2", trtexec="8602")
    assert older["board"][0] == f"{ORIN} (jetson-orin-trt8)" and older["TensorRT"][1] is None
    assert rows["release"][0] == "L4T 36.4.3, JetPack 6.2"
    assert rows["TensorRT"][0] == "in Python: 10.3.0"
    assert rows["trtexec"][0].endswith("/trtexec, 10.3.0")
    assert rows["CUDA"][0] == (
        "driver 541.2.0, for CUDA 12.6; toolkit 12.6.11; runtime 12.6, /opt/libcudart.so.12"
    )
    assert rows["clocks"][0] == "GPU pinned at 1020 MHz"
    assert rows["memory"][0] == "6,144 of 8,192 MiB free"
    assert rows["disk"][0].startswith("9.0 GiB free")


@pytest.mark.parametrize(
    ("changes", "row", "told", "advice"),
    [
        ({"model": jetson.UNKNOWN_MODEL}, "board", "unknown", "docker run -v /tmp/nv_jetson_model"),
        ({"model": "Jetson of tomorrow"}, "board", "tomorrow", "no target is for it"),
        ({"l4t": None, "jetpack": None}, "release", "not told", "-v /etc/nv_tegra_release"),
        ({"python": None}, "TensorRT", "'tensorrt' is not installed", "install"),
        ({"python": "9.0.0", "trtexec": "9000"}, "TensorRT", "9.0.0", "take 10"),
        ({"trtexec": None}, "trtexec", "none", "sudo apt install libnvinfer-bin"),
        ({"banner": False}, "trtexec", "version not told", "TRTEXEC=PATH"),
        ({"trtexec": "101602"}, "trtexec", "10.16.2", "do not load in 10.3.0"),
        ({"power_mode": None}, "power mode", "not told", "nvpmodel -q"),
        ({"power_mode": "15W"}, "power mode", "15W", "sudo nvpmodel -m"),
        ({"gpu_low_mhz": 306}, "clocks", "306 to 1020 MHz, not pinned", "sudo jetson_clocks"),
        ({"gpu_low_mhz": None, "gpu_high_mhz": None}, "clocks", "not told", "jetson_clocks --show"),
        ({"free_memory_bytes": 300 << 20}, "memory", "300 of 8,192", "close programs"),
        ({"free_disk_bytes": 3 << 20}, "disk", "0.0 GiB free", "another disk"),
        ({"free_disk_bytes": None}, "disk", "not told", "is gone"),
    ],
)
def test_what_is_not_as_it_should_be_has_advice(
    changes: dict[str, Any], row: str, told: str, advice: str, board: Board
) -> None:
    rows = board(**changes)
    assert told in rows[row][0] and advice in (rows[row][1] or "")
    others = [name for name, (_, words) in rows.items() if words is not None and name != row]
    assert others == []


def test_no_gpu_is_told_with_the_runtimes_own_reason(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = cuda.CudaState(reason="no GPU: CUDA sees no device", hint="look for one")
    monkeypatch.setattr(cuda, "state", lambda: state)
    told, advice = board()["CUDA"]
    assert told == "driver 541.2.0; toolkit 12.6.11; no GPU: CUDA sees no device"
    assert advice == "look for one"
    monkeypatch.setattr(cuda, "state", lambda: replace(state, hint=cuda.DOCTOR))
    advice = board()["CUDA"][1] or ""
    assert "docker run --runtime nvidia" in advice
    # the device files are of these groups
    assert "sudo usermod -aG video,render $USER" in advice


def test_a_package_whose_library_is_missing_is_told_with_its_version(
    board: Board,
) -> None:
    """Its metadata are there without JetPack's libraries, as in a container."""
    fault = MissingRuntimeError("the package 'tensorrt' cannot be loaded: libnvinfer.so.10")
    assert board()["TensorRT"] == ("in Python: 10.3.0", None)
    told, advice = board(fault=fault)["TensorRT"]
    assert told == f"in Python: 10.3.0, {fault.message}"
    assert advice is not None and "python3-libnvinfer" in advice


def test_off_a_board_there_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    act(monkeypatch, {})
    assert board_rows.board_rows() == ()
