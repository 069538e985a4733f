"""A board watched while engines are timed on it.

tegrastats runs in the background; where it is not there or fails, sysfs is read. `board.py` sums
the readings up. Off a Jetson there is nothing to watch, and that is no error.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_scnet.machine.board import (
    DEVFREQ,
    BoardState,
    Sample,
    board_state,
    is_sensor,
    parse_jetson_clocks,
    parse_tegrastats,
)
from edge_scnet.machine.linux import ROOT, output_of, read_number, read_text
from edge_scnet.machine.memory import used_memory_bytes

_INTERVAL_MS = 100
_FIRST_READING_S = 1.0


class Watch:
    """Readings of a board, and which of them fall into the timed window."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._samples: list[Sample] = []
        self._window = (0, 0)
        self._read = threading.Event()
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to watch, and waits for the first reading, of the board without engines."""
        if program := shutil.which("tegrastats"):
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    [program, "--interval", str(_INTERVAL_MS)],
                    text=True,
                    errors="replace",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        if self._process is None and not gpu_folders(self._root):
            return
        self._thread = threading.Thread(
            target=self._follow if self._process else self._poll, daemon=True
        )
        self._thread.start()
        self._read.wait(_FIRST_READING_S)

    def _follow(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        folders = gpu_folders(self._root)
        for line in self._process.stdout:
            # tegrastats tells the GPU's clock to root alone, sysfs to anyone
            self._add(parse_tegrastats(f"{line.rstrip()}{devfreq_words(folders)}"))
        if folders and not self._samples:  # it failed
            self._poll()

    def _poll(self) -> None:
        while not self._stopped.wait(_INTERVAL_MS / 1000):
            self._add((read_sysfs(self._root),))

    def _add(self, samples: tuple[Sample, ...]) -> None:
        self._samples += samples
        if samples:
            self._read.set()

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Marks the readings within the context as timed; at its end the watch stops."""
        first = len(self._samples)
        try:
            yield
        finally:
            self._window = (first, len(self._samples))
            self.stop()

    def stop(self) -> None:
        """Ends the background process and the reading of it."""
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._thread is not None:
            self._thread.join(timeout=2)
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def state(self) -> BoardState | None:
        """The readings, summed up; None off a board."""
        first, end = self._window
        clocks = output_of("jetson_clocks", "--show")
        return board_state(
            self._samples[first:end],
            before=self._samples[:first],
            nvpmodel=output_of("nvpmodel", "-q"),
            # it wants root on most releases; sysfs tells the GPU's line to anyone
            jetson_clocks=clocks if parse_jetson_clocks(clocks) else sysfs_clocks(self._root),
        )


@contextlib.contextmanager
def watching(root: Path = ROOT) -> Iterator[Watch]:
    """A watch that runs within the context."""
    watch = Watch(root)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def gpu_folders(root: Path) -> list[Path]:
    """The devfreq folders of a Jetson's GPU.

    They are named after the GPU ("17000000.gpu", "gpu-gpc-0") or after its chip. gpu-nvd-0 of Thor
    is the clock of its video engines.
    """
    chips = (".gpu", ".ga10b", ".gv11b", ".gp10b", ".gm20b")
    return sorted(
        path
        for path in root.glob("sys/class/devfreq/*")
        if path.name.endswith(chips) or path.name.startswith("gpu-gpc-")
    )


def devfreq_words(folders: Sequence[Path]) -> str:
    """The GPU's clocks as the end of a line of tegrastats; empty where none can be read."""
    clocks = [read_number(f"{folder}/cur_freq") for folder in folders]
    told = ",".join(str(hertz) for hertz in clocks if hertz is not None)
    return f" {DEVFREQ} {told}" if told else ""


def read_sysfs(root: Path) -> Sample:
    """One reading without tegrastats: the GPU's clock and load, temperatures and memory.

    Power is left out: its files lie elsewhere on each board.
    """
    clocks, loads = [], []
    for folder in gpu_folders(root):
        if (hertz := read_number(f"{folder}/cur_freq")) is not None:
            clocks.append(hertz // 1_000_000)
        if (load := read_number(f"{folder}/device/load")) is not None:
            loads.append(load // 10)  # the file has thousandths
    temperatures = {}
    for zone in root.glob("sys/class/thermal/thermal_zone*"):
        # a sensor that is switched off says -256 C
        name = read_text(f"{zone}/type") or zone.name
        if (
            (milli := read_number(f"{zone}/temp")) is not None
            and milli > -100_000
            and is_sensor(name)
        ):
            temperatures[name] = milli / 1000
    return Sample(
        ram_used_bytes=used_memory_bytes(root),
        gpu_percent=max(loads, default=None),
        gpu_clocks_mhz=tuple(clocks),
        temperatures_celsius=temperatures,
    )


def sysfs_clocks(root: Path) -> str:
    """The GPU's limits as jetson_clocks prints them."""
    rows = [
        (read_number(f"{folder}/min_freq"), read_number(f"{folder}/max_freq"))
        for folder in gpu_folders(root)
    ]
    return "".join(
        f"GPU MinFreq={low} MaxFreq={high}\n"
        for low, high in rows
        if low is not None and high is not None
    )
