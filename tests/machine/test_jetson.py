"""Boards by their device tree and release, as they name themselves; the files are made up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_scnet.config.target import WITHOUT_INT8, list_targets
from edge_scnet.machine import jetson, linux
from tests.helpers.machines import act

_ORIN = "nvidia,p3768-0000+p3767-0003\0nvidia,p3767-0003\0nvidia,tegra234"
_XAVIER = "nvidia,p2972-0000\0nvidia,tegra194"
_IN_GENERAL = {"jetson"}
# name, compatible, the targets that take it; None: it computes no INT8
BOARDS: tuple[tuple[str, str, set[str] | None], ...] = (
    (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        _ORIN,
        _IN_GENERAL | {"jetson-orin-nano"},
    ),
    (
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super",
        _ORIN,
        _IN_GENERAL | {"jetson-orin-nx"},
    ),
    ("Jetson AGX Orin Developer Kit", _ORIN, _IN_GENERAL | {"jetson-agx-orin"}),
    ("NVIDIA Jetson AGX Orin Developer Kit", _ORIN, _IN_GENERAL | {"jetson-agx-orin"}),
    ("NVIDIA Jetson Orin Nano Developer Kit", _ORIN, _IN_GENERAL | {"jetson-orin-nano"}),
    ("NVIDIA Jetson AGX Thor Developer Kit", "nvidia,tegra264", {"jetson-thor"}),
    ("NVIDIA Jetson Xavier NX Developer Kit", _XAVIER, {"jetson-xavier"}),
    ("NVIDIA Jetson Nano Developer Kit", "nvidia,p3450-0000\0nvidia,tegra210", None),
    ("jetson_tx1", "nvidia,p2371-2180\0nvidia,tegra210", None),
    ("NVIDIA IGX Orin Developer Kit", _ORIN, _IN_GENERAL),
    ("quill", "nvidia,quill\0nvidia,tegra186", None),
    ("Jetson-AGX", _XAVIER, {"jetson-xavier"}),
)


@pytest.mark.parametrize(("name", "compatible", "takes"), BOARDS, ids=[row[0] for row in BOARDS])
def test_a_board_is_known_by_its_name_or_its_chip(
    name: str, compatible: str, takes: set[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(
        monkeypatch,
        {"/proc/device-tree/model": name, "/proc/device-tree/compatible": compatible},
    )
    model = jetson.model()
    assert model == name
    words = jetson.words(model)
    assert any(word in words for word in WITHOUT_INT8) is (takes is None)
    by_model = {
        target.name
        for target in list_targets()
        if target.board is not None and any(word in words for word in target.board.models)
    }
    # targets of boards without INT8 are not asked here
    assert takes is None or takes <= by_model
    assert takes is None or not by_model & ({"jetson-thor", "jetson-xavier", "jetson"} - takes)


@pytest.mark.parametrize(
    ("files", "model"),
    [
        # jetson-containers mounts the name; an L4T container has the release alone
        ({"/tmp/nv_jetson_model": BOARDS[0][0]}, BOARDS[0][0]),
        ({"/tmp/nv_jetson_model": f"{BOARDS[0][0]}\nand more"}, BOARDS[0][0]),
        ({"/sys/firmware/devicetree/base/model": BOARDS[4][0]}, BOARDS[4][0]),
        (
            {"/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1"},
            jetson.UNKNOWN_MODEL,
        ),
        ({"/proc/device-tree/compatible": _ORIN}, jetson.UNKNOWN_MODEL),
        ({"/proc/device-tree/model": "Another Maker's Box"}, None),
        (
            {
                "/proc/device-tree/model": "Another Maker's Box",
                "/proc/device-tree/compatible": f"maker,box\0{_ORIN}",
            },
            "Another Maker's Box",
        ),
        ({}, None),
    ],
)
def test_containers_and_other_makers_boards(
    files: dict[str, str], model: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(monkeypatch, files)
    assert jetson.model() == model


@pytest.mark.parametrize(
    ("line", "release", "jetpack"),
    [
        (
            "# R28 (release), REVISION: 2.0, GCID: 111, BOARD: t186ref, EABI: aarch64",
            "28.2.0",
            None,
        ),
        ("# R32 (release), REVISION: 7.1, GCID: 222, BOARD: t186ref", "32.7.1", "4.6.1"),
        ("# R35 (release), REVISION: 4.1, GCID: 333, BOARD: t186ref", "35.4.1", "5.1.2"),
        ("# R35 (release), REVISION: 6.0, GCID: 334, BOARD: generic", "35.6.0", "5.1.4"),
        ("# R35 (release), REVISION: 6.1, GCID: 335, BOARD: generic", "35.6.1", "5.1.5"),
        ("# R36 (release), REVISION: 4.4, GCID: 444, BOARD: generic", "36.4.4", "6.2.1"),
        ("# R36 (release), REVISION: 4.7, GCID: 445, BOARD: generic", "36.4.7", "6.2.1"),
        ("# R38 (release), REVISION: 4.0, GCID: 555, BOARD: generic", "38.4.0", "7.1"),
        ("# R39 (release), REVISION: 2.1, GCID: 666, BOARD: generic", "39.2.1", "7.2.1"),
        ("# R99 (release), REVISION: 1.0, GCID: 777, BOARD: generic", "99.1.0", None),
    ],
)
def test_the_release_and_its_jetpack(
    line: str, release: str, jetpack: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(monkeypatch, {"/etc/nv_tegra_release": f"{line}, DATE: Mon Nov  2 10:11:12 UTC 2026"})
    assert (jetson.l4t(), jetson.jetpack(release)) == (release, jetpack)


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "nv_jetson_model"
    os.mkfifo(pipe)
    assert linux.read_text(str(pipe)) is None
