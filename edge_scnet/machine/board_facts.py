"""What a Jetson says of itself before anything is built on it, for a report of a fault."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from edge_scnet.machine import jetson, linux
from edge_scnet.machine.board import parse_jetson_clocks, parse_nvpmodel
from edge_scnet.machine.board_watch import sysfs_clocks
from edge_scnet.machine.linux import ROOT, output_of
from edge_scnet.machine.memory import available_memory_bytes, total_memory_bytes

# "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (...)"
_DRIVER = re.compile(r"Kernel Module\D*? (?:for \w+ +)?(\d{2,4}(?:\.\d{1,6}){1,2})\b")
# {"cuda": {"name": "CUDA SDK", "version": "12.6.11"}, ...}; before 11: "CUDA Version 10.2.300"
_TOOLKIT_JSON = re.compile(r'"cuda"\s*:\s*\{[^{}]*"version"\s*:\s*"(\d[\d.]{0,30})"')
_TOOLKIT_TEXT = re.compile(r"CUDA Version (\d[\d.]{0,30})")
# "6.2.1+b38"
_PACKAGE = re.compile(r"(\d{1,2}(?:\.\d{1,3}){1,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFacts:
    """A board's settings and releases; what it does not tell is None."""

    model: str
    l4t: str | None
    # by the package nvidia-jetpack, or by L4T's release
    jetpack: str | None
    # of the kernel's module, as in "540.4.0"
    driver: str | None
    # of the CUDA toolkit in /usr/local/cuda
    cuda_toolkit: str | None
    power_mode: str | None
    # lowest and highest clock of the GPU
    gpu_low_mhz: int | None
    gpu_high_mhz: int | None
    free_memory_bytes: int | None
    memory_bytes: int | None
    # where the process works
    free_disk_bytes: int | None

    @property
    def clocks_pinned(self) -> bool | None:
        """Whether the GPU's lowest clock is its highest; None: not told."""
        return None if self.gpu_high_mhz is None else self.gpu_low_mhz == self.gpu_high_mhz


def board_facts(model: str, root: Path = ROOT) -> BoardFacts:
    """Asks the board that `jetson.model` found, without root."""
    release = jetson.l4t()
    clocks = parse_jetson_clocks(sysfs_clocks(root))
    return BoardFacts(
        model=model,
        l4t=release,
        jetpack=_jetpack(release),
        driver=_first(_DRIVER, linux.read_text("/proc/driver/nvidia/version")),
        cuda_toolkit=_first(_TOOLKIT_JSON, linux.read_text("/usr/local/cuda/version.json"))
        or _first(_TOOLKIT_TEXT, linux.read_text("/usr/local/cuda/version.txt")),
        power_mode=parse_nvpmodel(output_of("nvpmodel", "-q")),
        gpu_low_mhz=min((low // 1_000_000 for low, _ in clocks), default=None),
        gpu_high_mhz=min((high // 1_000_000 for _, high in clocks), default=None),
        free_memory_bytes=available_memory_bytes(),
        memory_bytes=total_memory_bytes(),
        free_disk_bytes=_free_disk_bytes(),
    )


def _jetpack(release: str | None) -> str | None:
    package = output_of("dpkg-query", "-W", "-f=${Version}", "nvidia-jetpack")
    told = _first(_PACKAGE, package)
    return told or (jetson.jetpack(release) if release else None)


def _free_disk_bytes() -> int | None:
    try:
        return shutil.disk_usage(Path.cwd()).free
    except OSError:  # the folder is gone
        return None


def _first(pattern: re.Pattern[str], text: str | None) -> str | None:
    found = pattern.search(text or "")
    return found[1] if found else None
