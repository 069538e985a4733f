"""Every shape of text that boards were seen to print, by the row of the review that lists them.

All texts are synthetic: written by hand after the programs' formats, numbers made up.
"""

from __future__ import annotations

import pytest

from edge_scnet.machine import board
from tests.helpers import board_texts, board_texts_before_orin
from tests.helpers.board_line import Line
from tests.helpers.board_texts import NO_READING

LINES = sorted((*board_texts_before_orin.LINES, *board_texts.LINES), key=lambda line: line.number)


def _name(line: Line) -> str:
    return f"{line.number}: {line.board}"


@pytest.mark.parametrize("line", LINES, ids=_name)
def test_a_line_of_tegrastats(line: Line) -> None:
    (sample,) = board.parse_tegrastats(f"{line.text}\n")
    assert (sample.gpu_percent, sample.gpu_clocks_mhz) == (line.percent, line.clocks_mhz)
    state = board.board_state([sample])
    assert state is not None
    assert state.temperature_peak_sensor is not None
    assert (state.temperature_peak_sensor, state.temperature_peak_celsius) == line.hottest
    assert tuple(rail.rail for rail in state.rails) == line.rails
    if line.module_mw is None:
        assert state.module is None
    else:
        assert state.module is not None
        assert (state.module.rail, state.module.peak_mw) == (line.module_rails, line.module_mw)


def test_31_what_is_no_reading() -> None:
    assert board.parse_tegrastats(NO_READING) == ()


def test_every_row_is_here() -> None:
    assert [line.number for line in LINES] == [n for n in range(1, 33) if n != 31]


def test_a_line_without_a_clock_says_who_is_told_it() -> None:
    (user,) = (line for line in LINES if line.number == 21)
    told, not_told = (
        board.board_state(board.parse_tegrastats(text))
        for text in (user.text, user.text.partition(" DEVFREQ")[0])
    )
    assert told is not None and not_told is not None
    assert "GPU at 624 to 624 MHz" in board.board_words(told)[1]
    assert not_told.gpu_clock_low_mhz is None
    assert "GPU clock not told (sudo tells it)" in board.board_words(not_told)[1]


def test_throttling_is_told_by_the_clock_beside_a_users_lines() -> None:
    (user,) = (line for line in LINES if line.number == 21)
    held = user.text.replace("DEVFREQ 624750000", "DEVFREQ 306000000")
    state = board.board_state(board.parse_tegrastats("\n".join([user.text] * 10 + [held] * 10)))
    assert state is not None and state.throttled is True


def test_the_input_of_a_developer_kit_is_not_the_modules() -> None:
    (thor,) = (line for line in LINES if line.number == 27)
    state = board.board_state(board.parse_tegrastats(thor.text))
    assert state is not None
    assert (
        "87.2 W (peak 87.2) for the module, 121.0 W (peak 121.0) for the developer kit"
        in board.board_words(state)[1]
    )


NVPMODEL = {
    1: ("NV Power Mode: MAXN\n0\n", "MAXN"),
    2: ("NV Power Mode: 25W\n1\n", "25W"),
    3: ("NV Power Mode: 120W\n1\n", "120W"),
    4: ("NV Fan Mode:cool\nNV Power Mode: 40W\n3\n", "40W"),
    5: ("NV Fan Mode:\nNV Power Mode: 15W_DESKTOP\n7\n", "15W_DESKTOP"),
    6: ("NV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER"),
    7: ("NVPM WARN: fan mode is not set!\nNV Power Mode: 10W\n0\n", "10W"),
    8: (
        (
            "NVPM VERB: Config file: /etc/nvpmodel.conf\nNVPM VERB: parsing done for"
            " /etc/nvpmodel.conf\nNVPM VERB: Current mode: NV Power Mode: MODE_20W_4CORE\n3\n"
        ),
        "MODE_20W_4CORE",
    ),
}


@pytest.mark.parametrize(("text", "mode"), NVPMODEL.values(), ids=NVPMODEL)
def test_the_power_mode(text: str, mode: str) -> None:
    assert board.parse_nvpmodel(text) == mode


_CPU = "cpu0: Online=1 Governor=schedutil MinFreq=729600 MaxFreq=1510400 CurrentFreq=1113600"
JETSON_CLOCKS = {
    "AGX Orin, JetPack 5, accelerators": (
        f"SOC family:tegra234  Machine:Jetson AGX Orin\nOnline CPUs: 0-7\n{_CPU} IdleStates: WFI=1"
        " c7=1\nGPU MinFreq=306000000 MaxFreq=1198000000 CurrentFreq=408000000\nEMC"
        " MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=2133000000 FreqOverride=0\nDLA0_CORE:  "
        " Online=1 MinFreq=0 MaxFreq=1408000000 CurrentFreq=1408000000\nDLA0_FALCON: Online=1"
        " MinFreq=0 MaxFreq=742400000 CurrentFreq=742400000\nPVA0_VPS0: Online=1 MinFreq=0"
        " MaxFreq=1152000000 CurrentFreq=1152000000\nFAN Dynamic Speed control=nvfancontrol"
        " hwmon0_pwm1=61\nNV Power Mode: 40W\n",
        ((306000000, 1198000000),),
        False,
    ),
    "Orin Nano, JetPack 7.2.1": (
        f"SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano\nOnline CPUs: 0-5\n{_CPU}"
        " IdleStates: WFI=1 c7=1\nGPU MinFreq=306000000 MaxFreq=1020000000"
        " CurrentFreq=306000000\nActive GPU TPCs: 4\nEMC MinFreq=204000000 MaxFreq=3199000000"
        " CurrentFreq=3199000000 FreqOverride=0\n",
        ((306000000, 1020000000),),
        False,
    ),
    "Orin Nano, pinned": (
        "GPU MinFreq=918000000 MaxFreq=918000000 CurrentFreq=918000000\n",
        ((918000000, 918000000),),
        True,
    ),
    "Nano, 5 W": (
        "SOC family:tegra210  Machine:NVIDIA Jetson Nano Developer Kit\nOnline CPUs: 0-1\nCPU"
        " Cluster Switching: Disabled\ncpu0: Online=1 Governor=schedutil MinFreq=102000"
        " MaxFreq=918000 CurrentFreq=204000\nGPU MinFreq=76800000 MaxFreq=640000000"
        " CurrentFreq=153600000\nEMC MinFreq=204000000 MaxFreq=1600000000 CurrentFreq=1600000000"
        " FreqOverride=0\nFan: speed=0\nNV Power Mode: 5W\n",
        ((76800000, 640000000),),
        False,
    ),
    "Thor, pinned": (
        "SOC family:tegra264  Machine:NVIDIA Jetson AGX Thor\ncpu12: Governor=schedutil"
        " MinFreq=2601000 MaxFreq=2601000 CurrentFreq=2601000 IdleStates: WFI=0 cc7=0\ngpu-gpc-0"
        " MinFreq=1485000000 MaxFreq=1485000000 CurrentFreq=1485000000\ngpu-nvd-0"
        " MinFreq=1590000000 MaxFreq=1590000000 CurrentFreq=1590000000\nEMC MinFreq=665600000"
        " MaxFreq=4266000000 CurrentFreq=4266000000 FreqOverride=1\n",
        ((1485000000, 1485000000),),
        True,
    ),
    "Thor, not pinned": (
        "gpu-gpc-0 MinFreq=405000000 MaxFreq=1485000000 CurrentFreq=405000000\ngpu-nvd-0"
        " MinFreq=1590000000 MaxFreq=1590000000 CurrentFreq=1590000000\n",
        ((405000000, 1485000000),),
        False,
    ),
    "not root": ("Error: Run this script(/usr/bin/jetson_clocks) as a root user\n", (), None),
}


@pytest.mark.parametrize(("text", "limits", "pinned"), JETSON_CLOCKS.values(), ids=JETSON_CLOCKS)
def test_jetson_clocks(text: str, limits: tuple[tuple[int, int], ...], pinned: bool | None) -> None:
    assert board.parse_jetson_clocks(text) == limits
    state = board.board_state([], nvpmodel="NV Power Mode: MAXN\n", jetson_clocks=text)
    assert state is not None and state.clocks_pinned is pinned
