"""What a board says of itself. All texts are synthetic: written by hand after the programs'
formats, numbers made up.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from edge_scnet.core.json_records import convert
from edge_scnet.machine import board
from edge_scnet.machine.board import RailPower, Sample
from tests.helpers.tegrastats import ORIN_NANO

AGX_ORIN = (
    "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 9x4MB) SWAP 1/31408MB (cached 0MB) CPU [1%@729]"
    " GR3D_FREQ 12%@[1300,1290] NVDLA0 off gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW"
    " VDD_CPU_CV 900mW/900mW/900mW VIN_SYS_5V0 5500mW/5500mW/5500mW"
)
THOR = (
    "07-25-2026 09:08:28 RAM 9000/125000MB (lfb 9x4MB) GR3D_FREQ @[1000,1000,1000] gpu@40.5C"
    " VDD_GPU 9000mW/8000mW VDD_CPU_SOC_MSS 8000mW/7000mW VIN_SYS_5V0 6000mW/5900mW VIN"
    " 30000mW/29000mW"
)
NANO = (
    "RAM 613/3964MB (lfb 634x4MB) IRAM 0/252kB(lfb 252kB) CPU [2%@102] EMC_FREQ 0% GR3D_FREQ 0%"
    " CPU@40.5C POM_5V_IN 2500/2400"
)


def test_the_line_of_jetpack_6() -> None:
    (sample,) = board.parse_tegrastats(f"some banner\n{ORIN_NANO}\n")
    assert sample == Sample(
        ram_used_bytes=4722 << 20,
        gpu_percent=10,
        gpu_clocks_mhz=(1300,),
        temperatures_celsius={"cpu": 48.5, "tj": 50.25, "gpu": 47.6},
        power_mw={"VDD_IN": 5336, "VDD_CPU_GPU_CV": 1617, "VDD_SOC": 1478},
    )


def test_the_line_of_jetpack_7_and_agx_orin() -> None:
    (sample,) = board.parse_tegrastats(AGX_ORIN)
    assert (sample.gpu_percent, sample.gpu_clocks_mhz) == (12, (1300, 1290))
    assert sample.power_mw == {"VDD_GPU_SOC": 5139, "VDD_CPU_CV": 900, "VIN_SYS_5V0": 5500}
    assert sample.temperatures_celsius == {"gpu": 47.625}


def test_the_line_of_thor_tells_no_utilisation() -> None:
    (sample,) = board.parse_tegrastats(THOR)
    assert (sample.gpu_percent, sample.gpu_clocks_mhz) == (None, (1000, 1000, 1000))


def test_the_line_of_an_old_board_has_no_units() -> None:
    (sample,) = board.parse_tegrastats(NANO)
    assert (
        sample.power_mw == {"POM_5V_IN": 2500}
        and sample.gpu_clocks_mhz == ()
        and sample.gpu_percent == 0
    )


@pytest.mark.parametrize(
    ("line", "rail", "mean"),
    [
        (ORIN_NANO, "VDD_IN", 5336),
        (AGX_ORIN, "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0", 11539),
        (THOR, "VDD_GPU + VDD_CPU_SOC_MSS + VIN_SYS_5V0", 23000),
        (NANO, "POM_5V_IN", 2500),
        ("RAM 1/2MB VDD_GPU 300mW/300mW", None, None),
    ],
)
def test_the_modules_power_is_of_the_rail_that_feeds_it(
    line: str, rail: str | None, mean: float | None
) -> None:
    state = board.board_state(board.parse_tegrastats(line))
    assert state is not None
    assert state.module == (
        None if rail is None else RailPower(rail=rail, mean_mw=mean, peak_mw=int(mean or 0))
    )


def test_text_that_is_no_reading_is_left_out() -> None:
    assert board.parse_tegrastats("tegrastats: command failed\n\n") == ()


CLOCKS = """SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano Developer Kit
Online CPUs: 0-5
cpu0: Online=1 Governor=schedutil MinFreq=729600 MaxFreq=729600 CurrentFreq=729600 IdleStates: c7=1
GPU MinFreq={low} MaxFreq=1020000000 CurrentFreq=1020000000
EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=3199000000 FreqOverride=1
NV Power Mode: MAXN_SUPER
"""


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        (CLOCKS.format(low=1020000000), True),
        (CLOCKS.format(low=306000000), False),
        (
            (
                "gpu-gpc-0: MinFreq=5000000 MaxFreq=5000000\ngpu-gpc-1: MinFreq=1000000"
                " MaxFreq=5000000\n"
            ),
            False,
        ),
        ("Error: Please run as root\n", None),
    ],
)
def test_clocks_are_pinned_where_the_gpus_lowest_is_its_highest(
    text: str, pinned: bool | None
) -> None:
    state = board.board_state([], nvpmodel="NV Power Mode: MAXN_SUPER\n2\n", jetson_clocks=text)
    assert state is not None and state.clocks_pinned is pinned


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("NV Power Mode: MAXN\n0\n", "MAXN"),
        (
            (
                "NVPM WARN: fan mode is not set!\nNV Fan Mode:quiet\nNV Power Mode:"
                " MODE_15W_6CORE\n2\n"
            ),
            "MODE_15W_6CORE",
        ),
        ("NVPM VERB: Current mode: NV Power Mode: 15W \n2\n", "15W"),
        ("", None),
    ],
)
def test_the_power_mode(text: str, mode: str | None) -> None:
    assert board.parse_nvpmodel(text) == mode


def busy(*clocks: int, percent: int | None = 99) -> list[Sample]:
    return [Sample(gpu_percent=percent, gpu_clocks_mhz=(mhz,)) for mhz in clocks]


@pytest.mark.parametrize(
    ("samples", "pinned", "fell"),
    [
        (
            busy(*[306] * 5, 612, *[1020] * 20),
            None,
            False,
        ),  # a governor raises an idle GPU's clock: no throttling
        (busy(306, *[1020] * 10, *[800] * 10), None, True),
        (busy(*[1020] * 30, 800), None, False),  # one dip
        (
            [*busy(*[1020] * 10), *busy(*[306] * 10, percent=5)],
            None,
            False,
        ),  # idle between the engines
        (
            busy(*[1020] * 10, *[800] * 10, percent=None),
            None,
            None,
        ),  # Thor does not tell whether it was busy
        (busy(*[1020] * 10, *[800] * 10, percent=None), 1020, True),
        (busy(*[800] * 10), 1020, True),  # held down from the start
        (busy(*[1020] * 10), 1020, False),
        ([], None, None),
    ],
)
def test_throttling_is_a_clock_that_falls_under_load(
    samples: list[Sample], pinned: int | None, fell: bool | None
) -> None:
    assert board.throttled(samples, pinned_mhz=pinned) is fell


def test_a_board_is_summed_up_over_the_timed_window() -> None:
    before = board.parse_tegrastats(
        ORIN_NANO.replace("RAM 4722", "RAM 4000").replace("VDD_IN 5336", "VDD_IN 99999")
    )
    later = (
        ORIN_NANO.replace("RAM 4722", "RAM 4600")
        .replace("VDD_IN 5336", "VDD_IN 7336")
        .replace("@1300", "@1020")
    )
    timed = board.parse_tegrastats(f"{ORIN_NANO}\n{later}")
    state = board.board_state(
        timed,
        before=before,
        nvpmodel="NV Power Mode: 15W\n",
        jetson_clocks=CLOCKS.format(low=306000000),
    )
    assert state is not None
    assert state.module == RailPower(rail="VDD_IN", mean_mw=6336, peak_mw=7336)
    assert [rail.rail for rail in state.rails] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert (state.gpu_clock_low_mhz, state.gpu_clock_high_mhz, state.gpu_percent) == (
        1020,
        1300,
        10,
    )
    assert (state.temperature_peak_celsius, state.temperature_peak_sensor) == (50.25, "tj")
    assert (
        state.ram_delta_bytes == 722 << 20
    )  # the highest, less what was used before anything was loaded
    assert board.board_words(state) == [
        "board: power mode 15W, clocks not pinned (sudo jetson_clocks)",
        (
            "while timed: 6.3 W (peak 7.3) for the module, GPU at 1020 to 1300 MHz, 10 % busy, at"
            " most 50.2 C (tj), 722 MB more RAM"
        ),
    ]
    assert (
        convert(
            board.BoardState, {**asdict(state), "rails": [asdict(rail) for rail in state.rails]}
        )
        == state
    )
    assert ", throttled," in board.board_words(replace(state, throttled=True))[1]


def test_nothing_known_is_no_state() -> None:
    assert board.board_state([]) is None
