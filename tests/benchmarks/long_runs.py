"""Whether long runs take more and more memory.

    python tests/benchmarks/long_runs.py [--profiles 1000] [--images 300 3000 10000]
        [--out FILE]

Calibration: a process calibrates a small network on so many generated photographs (JPEG, 224 px,
every one another), and its highest resident memory is taken; all images are used (`quant.samples`).
Profiles: one process measures the engines of a small network again and again, as a service would,
with 100 images; its resident memory, open descriptors, threads and children are taken after each,
and the files below the build folder and the temporary one are counted. Ctrl-C ends the profiles
early, and those until then are judged.

Exit code 1 when calibration takes over 10 % more for the most images than for the
fewest, when the last tenth of the profiles takes over 2 % more memory than the second tenth, or
when descriptors, threads, children or files have grown between these.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from envelope import begin
from PIL import Image

import edge_scnet
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.resources import bundled
from edge_scnet.machine.memory import resident_bytes
from tests.helpers.graphs import tiny_onnx
from tests.helpers.images import idx_folder, published

MOST_GROWTH_OF_CALIBRATION = 1.10
MOST_GROWTH_OF_PROFILES = 1.02
SIZE = 224
IMAGES_OF_A_PROFILE = 100


def photographs(folder: Path, count: int) -> Path:
    """Smooth random pictures with some noise, of 10 to 15 kB each: the first ones are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if path.exists():
            continue
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((SIZE, SIZE))
        noisy = np.asarray(coarse, np.int16) + rng.integers(-12, 13, (SIZE, SIZE, 3), np.int16)
        data = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=85)
        path.write_bytes(data.getvalue())
    return folder


def calibration_peak_bytes(work: Path, count: int) -> int:
    """The highest resident memory of `edge-scnet calibrate` on so many images.

    Raises:
        SystemExit: it fails, or has not used all of them.
    """
    target = work / f"cpu-{count}.toml"
    text = (bundled("targets") / "cpu.toml").read_text(encoding="utf-8")
    target.write_text(text.replace("# samples = 1024", f"samples = {count}"), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "edge_scnet", "calibrate", str(work / "tiny.onnx")),
        *("--target", str(target), "--out", str(work / "build"), "--mean", "0.5", "--std", "0.25"),
        *("--colour", "grey", "--calib", str(photographs(work / f"images-{count}", count))),
    ]
    with (work / "calibrate.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read()
    if process.returncode or f"{count:,} images" not in said:
        raise SystemExit(f"calibration on {count} images: exit {process.returncode}\n{said}")
    return usage.ru_maxrss * 1024


def profiles(work: Path, count: int) -> list[dict[str, int]]:
    """What this process holds after each profile of one engine."""
    images, labels = published("eval")
    evaluation = idx_folder(
        work / "eval", images[:IMAGES_OF_A_PROFILE], labels[:IMAGES_OF_A_PROFILE]
    )
    built = edge_scnet.build(
        tiny_onnx(work / "small.onnx", classes=10, size=28),
        calib=bundled("calib_data") / "fashion-mnist" / "calib",
        evaluation=evaluation,
        out=work / "build",
        model_options=ModelOptions(mean=(0.286,), std=(0.353,)),
        seconds=0.1,
    )
    rows: list[dict[str, int]] = []
    for number in range(1, count + 1):
        try:
            edge_scnet.profile(built.folder, evaluation=evaluation, seconds=0.1)
        except KeyboardInterrupt:
            break
        rows.append(
            {
                "resident_bytes": resident_bytes(),
                "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
                "threads": threading.active_count(),
                "children": len(_children()),
                "files": sum(1 for _ in work.rglob("*")),
            }
        )
        if number % 10 == 0:
            print(number, rows[-1], file=sys.stderr, flush=True)
    return rows


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def growth(rows: list[dict[str, int]]) -> dict[str, dict[str, float]]:
    """Medians of the second and of the last tenth of the profiles."""
    tenth = max(1, len(rows) // 10)
    parts = {"second_tenth": rows[tenth : 2 * tenth], "last_tenth": rows[-tenth:]}
    return {
        name: {key: median(row[key] for row in part) for key in rows[0]}
        for name, part in parts.items()
    }


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=int, default=1000)
    parser.add_argument("--images", type=int, nargs="*", default=[300, 3000, 10000])
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    given = parser.parse_args()
    begun, result = begin(), dict[str, Any]()
    grown = False
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "tmp").mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(work / "tmp")
        if given.images:
            tiny_onnx(work / "tiny.onnx", classes=10, size=SIZE)
            peaks = {}
            for count in given.images:
                peaks[count] = calibration_peak_bytes(work, count)
                print(count, "images", peaks[count], "bytes", file=sys.stderr, flush=True)
            result["calibration_peak_bytes"] = peaks
            counts = sorted(peaks)
            grown |= peaks[counts[-1]] > MOST_GROWTH_OF_CALIBRATION * peaks[counts[0]]
        if given.profiles:
            rows = profiles(work, given.profiles)
            found = growth(rows)
            before, after = found["second_tenth"], found["last_tenth"]
            most = MOST_GROWTH_OF_PROFILES * before["resident_bytes"]
            grown |= after["resident_bytes"] > most
            grown |= any(after[key] > before[key] for key in before if key != "resident_bytes")
            result["profiles"] = {"count": len(rows), **found}
    begun.write(result, given.out)
    sys.exit(grown)


if __name__ == "__main__":
    main()
