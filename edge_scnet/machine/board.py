"""The output of tegrastats, nvpmodel and jetson_clocks, read and summed up.

Formats differ by JetPack and module, so lines are read word by word and what is not known is passed
over. A figure that no line tells is None, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Annotated

from msgspec import Meta

# A rail that feeds the whole module: Orin Nano and NX, Xavier NX and the TX boards; Nano.
_MODULE_RAILS = ("VDD_IN", "POM_5V_IN")
# Other modules have no such rail: these together are what the module draws.
_MODULE_PARTS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),  # Thor
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)
# The input of Thor's developer kit, with the carrier board and what is plugged in.
_KIT_RAIL = "VIN"
# A channel of the power monitor that is not connected.
_NO_RAIL = "NC"
# A sensor that tells a fixed number instead of a temperature: 100 C, or 50 C in newer releases.
_NO_SENSOR = "PMIC"
# Below this share of the clock that it held under load, the clock fell: governors step by 5 to 10 %
# of the highest one.
_FALLEN = 0.95
# A short dip is the governor's; a clock that is held down shows in more of the busy samples.
_FALLEN_SHARE = 0.1
_BUSY_PERCENT = 90

# What stands in front of the clocks of devfreq at a line's end.
DEVFREQ = "DEVFREQ"
# of characters
_MOST_IN_LINE = 4096
# figures have no more digits than a board can mean
_RAM = re.compile(r"\bRAM {1,9}(\d{1,9})/(\d{1,9})MB")
# "10%@1300", "12%@[1300,1300]", "@[1000,1000,1000]", "45%"; a cluster can be "off"
_CLUSTERS = r"(?:\d{1,9}|off)(?:,(?:\d{1,9}|off)){0,63}"
_GPU = re.compile(rf"\bGR3D_FREQ {{1,9}}(?:(\d{{1,9}})%)?(?:@\[?({_CLUSTERS})\]?)?")
# What board_watch and build.sh add to a line: the clock of each cluster in Hz.
_DEVFREQ = re.compile(rf"\b{DEVFREQ} (\d{{1,12}}(?:,\d{{1,12}}){{0,63}})")
_TEMPERATURE = re.compile(r"\b([A-Za-z][\w-]{0,63})@(-?\d{1,4}(?:\.\d{1,6})?)C\b")
# The value of the moment, before the mean since the start; old boards have no unit, and an idle
# rail can be below zero. "RAM 1/2MB" and "SWAP 0/1MB" end otherwise.
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]{1,63}) {1,9}(-?\d{1,9})(?:mW|/-?\d{1,9})(?![\w.])")
_MODE = re.compile(r"NV Power Mode: *(\S.*?) *$", re.MULTILINE)
# Thor lists its video engines' clock as gpu-nvd-0.
_CLOCKS = re.compile(
    r"^ *gpu(?!-nvd)\S*:? .*?MinFreq=(\d{1,12}) MaxFreq=(\d{1,12})", re.MULTILINE | re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One reading of a board."""

    ram_used_bytes: int | None = None
    # None: the board does not tell (Thor)
    gpu_percent: int | None = None
    # of each cluster
    gpu_clocks_mhz: tuple[int, ...] = ()
    # by sensor
    temperatures_celsius: dict[str, float] = field(default_factory=dict)
    # by rail, of the moment
    power_mw: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RailPower:
    """The power that a rail fed while engines were timed."""

    rail: str
    mean_mw: float
    peak_mw: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardState:
    """A board's settings, and what it did while engines were timed on it."""

    power_mode: Annotated[str | None, Meta(description="its name in nvpmodel")]
    clocks_pinned: Annotated[
        bool | None,
        Meta(description="the GPU's lowest clock is its highest (jetson_clocks); None: not told"),
    ]
    samples: int
    rails: tuple[RailPower, ...]
    module: Annotated[
        RailPower | None,
        Meta(description="all that the module draws; None: its rails do not add up to it"),
    ]
    gpu_clock_low_mhz: int | None
    gpu_clock_high_mhz: int | None
    throttled: Annotated[
        bool | None, Meta(description="the GPU's clock fell under load; None: not told")
    ]
    gpu_percent: Annotated[float | None, Meta(description="mean utilisation of the GPU")]
    temperature_peak_celsius: float | None
    temperature_peak_sensor: str | None
    ram_delta_bytes: Annotated[
        int | None, Meta(description="the highest use less the use before anything was loaded")
    ]


def parse_tegrastats(text: str) -> tuple[Sample, ...]:
    """The readings in the output of tegrastats; other lines are left out.

    Where a line tells no clock of the GPU, as those of a user without root, the one is taken that
    its end has from devfreq.
    """
    return tuple(_sample(line) for line in _lines(text) if _RAM.search(line))


def _lines(text: str) -> list[str]:
    """The lines of a text from anywhere, cut where they are longer than any board's."""
    return [line[:_MOST_IN_LINE] for line in text.splitlines()]


def _sample(line: str) -> Sample:
    ram, gpu = _RAM.search(line), _GPU.search(line)
    return Sample(
        ram_used_bytes=int(ram[1]) << 20 if ram else None,
        gpu_percent=int(gpu[1]) if gpu and gpu[1] else None,
        gpu_clocks_mhz=_gpu_clocks_mhz(line, gpu[2] if gpu else None),
        # a sensor that is switched off says -256
        temperatures_celsius={
            name: float(value)
            for name, value in _TEMPERATURE.findall(line)
            if float(value) > -100 and is_sensor(name)
        },
        power_mw={name: int(now) for name, now in _RAIL.findall(line) if name != _NO_RAIL},
    )


def _gpu_clocks_mhz(line: str, clusters: str | None) -> tuple[int, ...]:
    """The clocks of a line, `clusters` as it lists them; a sleeping GPU prints 0."""
    if clusters is not None:
        numbers = [int(mhz) for mhz in clusters.split(",") if mhz != "off"]
    else:
        devfreq = _DEVFREQ.search(line)
        numbers = [int(hz) // 1_000_000 for hz in devfreq[1].split(",")] if devfreq else []
    return tuple(mhz for mhz in numbers if mhz)


def is_sensor(name: str) -> bool:
    """Whether a sensor of this name tells a temperature."""
    return not name.startswith(_NO_SENSOR)


def parse_nvpmodel(text: str) -> str | None:
    """The name of the power mode in the output of `nvpmodel -q`."""
    match = _MODE.search("\n".join(_lines(text)))
    return match[1] if match else None


def parse_jetson_clocks(text: str) -> tuple[tuple[int, int], ...]:
    """Lowest and highest clock of each GPU cluster in Hz, from `jetson_clocks --show`.

    Empty where it was refused (not root).
    """
    return tuple((int(low), int(high)) for low, high in _CLOCKS.findall("\n".join(_lines(text))))


def board_state(
    timed: Sequence[Sample],
    *,
    before: Sequence[Sample] = (),
    nvpmodel: str = "",
    jetson_clocks: str = "",
) -> BoardState | None:
    """Sums readings up; None where nothing at all is known.

    Args:
        timed: readings while engines were timed.
        before: earlier readings; the first is of the board without engines.
        nvpmodel: what `nvpmodel -q` printed.
        jetson_clocks: what `jetson_clocks --show` printed.
    """
    mode, limits = parse_nvpmodel(nvpmodel), parse_jetson_clocks(jetson_clocks)
    if not timed and mode is None and not limits:
        return None
    pinned = all(low == high for low, high in limits) if limits else None
    clocks = [mhz for sample in timed for mhz in sample.gpu_clocks_mhz]
    hottest = max(
        ((c, name) for s in timed for name, c in s.temperatures_celsius.items()),
        default=(None, None),
    )
    used = [s.ram_used_bytes for s in (*before, *timed) if s.ram_used_bytes is not None]
    busy = [s.gpu_percent for s in timed if s.gpu_percent is not None]
    return BoardState(
        power_mode=mode,
        clocks_pinned=pinned,
        samples=len(timed),
        rails=tuple(
            _rail(name, [s.power_mw[name] for s in timed if name in s.power_mw])
            for name in _rails(timed)
        ),
        module=_module(timed),
        gpu_clock_low_mhz=min(clocks, default=None),
        gpu_clock_high_mhz=max(clocks, default=None),
        throttled=throttled(
            timed, pinned_mhz=min(high for _, high in limits) // 1_000_000 if pinned else None
        ),
        gpu_percent=round(fmean(busy), 1) if busy else None,
        temperature_peak_celsius=hottest[0],
        temperature_peak_sensor=hottest[1],
        ram_delta_bytes=max(used) - used[0] if used else None,
    )


def throttled(samples: Sequence[Sample], *, pinned_mhz: int | None) -> bool | None:
    """Whether the GPU's clock was held down, by heat or by a limit of power.

    With pinned clocks every reading below the pinned one counts. Without, a governor lowers an idle
    GPU's clock and takes a moment to raise it, which is no throttling: only readings of a busy GPU
    count then, and only after the highest of them. A board that does not tell how busy its GPU is
    cannot be judged without pinned clocks.

    Args:
        pinned_mhz: the clock that jetson_clocks pinned; None: clocks are not pinned.

    Returns:
        None where the readings do not tell.
    """
    if pinned_mhz is not None:
        judged = [min(s.gpu_clocks_mhz) for s in samples if s.gpu_clocks_mhz]
        reference = pinned_mhz
    else:
        busy = [
            s
            for s in samples
            if s.gpu_percent is not None and s.gpu_percent >= _BUSY_PERCENT and s.gpu_clocks_mhz
        ]
        clocks = [min(s.gpu_clocks_mhz) for s in busy]
        reference = max(clocks, default=0)
        judged = clocks[clocks.index(reference) :] if clocks else []
    if not judged:
        return None
    return sum(mhz < _FALLEN * reference for mhz in judged) > _FALLEN_SHARE * len(judged)


def _rails(samples: Iterable[Sample]) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample.power_mw))


def _rail(name: str, values: Sequence[int]) -> RailPower:
    return RailPower(rail=name, mean_mw=round(fmean(values), 1), peak_mw=max(values))


def _module(samples: Sequence[Sample]) -> RailPower | None:
    """What the module draws: by the rail that feeds all of it, or summed over its parts."""
    for parts in (*((name,) for name in _MODULE_RAILS), *_MODULE_PARTS):
        sums = [
            sum(sample.power_mw[name] for name in parts)
            for sample in samples
            if set(parts) <= sample.power_mw.keys()
        ]
        if sums:
            return _rail(" + ".join(parts), sums)
    return None


def board_words(state: BoardState) -> list[str]:
    """Two lines for people: the settings, and what the board did."""
    pinned = {
        True: "clocks pinned",
        False: "clocks not pinned (sudo jetson_clocks)",
        None: "clocks: not told",
    }
    lines = [f"board: power mode {state.power_mode or 'not told'}, {pinned[state.clocks_pinned]}"]
    figures = [
        f"{power.mean_mw / 1000:.1f} W (peak {power.peak_mw / 1000:.1f}) for the {what}"
        for power, what in (
            (state.module, "module"),
            (next((r for r in state.rails if r.rail == _KIT_RAIL), None), "developer kit"),
        )
        if power is not None
    ]
    if state.gpu_clock_low_mhz is not None:
        fell = {True: ", throttled", False: "", None: ""}[state.throttled]
        figures.append(f"GPU at {state.gpu_clock_low_mhz} to {state.gpu_clock_high_mhz} MHz{fell}")
    elif state.samples:
        figures.append("GPU clock not told (sudo tells it)")
    if state.gpu_percent is not None:
        figures.append(f"{state.gpu_percent:.0f} % busy")
    if state.temperature_peak_celsius is not None:
        figures.append(
            f"at most {state.temperature_peak_celsius:.1f} C ({state.temperature_peak_sensor})"
        )
    if state.ram_delta_bytes is not None:
        figures.append(f"{state.ram_delta_bytes / 2**20:,.0f} MB more RAM")
    return [*lines, f"while timed: {', '.join(figures)}"] if figures else lines
