"""Takes SCNet-50 at 224 px through the whole pipeline.

    python tests/benchmarks/scnet50_224.py --calib DIR --eval DIR --work DIR
        [--out FILE]

Makes an official-format .pth (weights drawn from the keys' hashes, BatchNorm statistics
re-estimated on the calibration images, so that activations are sane), runs `edge-scnet build` on
it: seconds per stage, peak memory, latencies and their paired ratios.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import torch
from envelope import begin

from edge_scnet.config import model_options
from edge_scnet.data import batches
from edge_scnet.data import samples as dataset
from edge_scnet.models.defaults import spec_of
from edge_scnet.scnet import ARCHITECTURES

TARGET = """\
title = "The cpu target with 300 calibration images"
why = "The benchmark fixes the number of images."
runtime = "openvino"
device = "CPU"
precision = "int8"
isa = "native"
opset = 20

[quant]
placement = "openvino"
samples = 300

# no training made the weights: which layers lose what of them is not asked for
[gates]
min_agreement_percent = 0
"""


def drawn_weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state dict that needs no weight file: every tensor is drawn from the crc32 of its key."""
    state = {}
    for key, value in module.state_dict().items():
        rng, shape = np.random.default_rng(zlib.crc32(key.encode())), tuple(value.shape)
        if key.endswith("num_batches_tracked"):
            array = np.zeros(shape)
        elif key.endswith("running_var"):
            array = rng.uniform(0.5, 1.5, shape)
        elif key.endswith("running_mean"):
            array = 0.1 * rng.standard_normal(shape)
        elif len(shape) == 4:
            array = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif len(shape) == 2:
            array = rng.standard_normal(shape) / np.sqrt(shape[1])
        else:
            array = (
                rng.uniform(0.5, 1.0, shape)
                if key.endswith("weight")
                else 0.1 * rng.standard_normal(shape)
            )
        state[key] = torch.from_numpy(np.asarray(array)).to(value.dtype)
    return state


def make_checkpoint(arch: str, calib: Path, path: Path) -> None:
    module = ARCHITECTURES[arch]()
    module.load_state_dict(drawn_weights(module))
    spec = spec_of(arch, arch, model_options.ModelOptions(arch=arch))
    samples = dataset.open_samples(calib, model=None, role="calibration", limit=64)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # a cumulative average
    module.train()
    with torch.inference_mode():
        for images in batches.batches(samples, spec, batch=16):
            module(torch.from_numpy(images))
    torch.save(module.state_dict(), path)


def some_of(photographs: Path, count: int, out: Path) -> Path:
    """A folder of so many of a folder's photographs, evenly from all."""
    every = sorted(path for path in photographs.rglob("*") if path.is_file())
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for i in range(min(count, len(every))):
        source = every[i * len(every) // count]
        shutil.copyfile(source, out / f"{i:04}-{source.name}")
    return out


def tree_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants."""
    total, pending = 0, [pid]
    while pending:
        current = pending.pop()
        try:
            status = Path(f"/proc/{current}/status").read_text()
            pending += [
                int(p) for p in Path(f"/proc/{current}/task/{current}/children").read_text().split()
            ]
        except OSError:
            continue
        total += (
            next(
                (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")),
                0,
            )
            * 1024
        )
    return total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="scnet50")
    parser.add_argument("--calib", type=Path, required=True)
    parser.add_argument("--eval", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="for the checkpoint and build")
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--images", type=int, default=100, help="to evaluate, of those of --eval")
    args = parser.parse_args()
    begun = begin()
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint, target = args.work / f"{args.arch}.pth", args.work / "cpu-300.toml"
    target.write_text(TARGET)
    make_checkpoint(args.arch, args.calib, checkpoint)
    command = [
        sys.executable,
        "-m",
        "edge_scnet",
        "build",
        str(checkpoint),
        "--arch",
        args.arch,
        "--target",
        str(target),
        "--json",
        "--calib",
        str(args.calib),
        "--eval",
        str(some_of(args.eval, args.images, args.work / "eval")),
        "--ignore-labels",
        "--out",
        str(args.work),
        "--seconds",
        str(args.seconds),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, tree_bytes(process.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.communicate()[0]
    watcher.join()
    if not output:
        sys.exit(process.returncode)
    report = json.loads(output)
    rows = {
        e["name"]: {
            "p50_ms": e["latency"]["p50_ms"],
            "p90_ms": e["latency"]["p90_ms"],
            "speedup": e["speedup"],
            "images_per_second": e["throughput_per_second"],
            "convolutions": e["convolutions"],
            "memory": e["memory"],
            "sqnr_db": e["accuracy"]["sqnr_db"],
            "agreement_percent": e["accuracy"]["agreement_percent"],
        }
        for e in report["engines"]
    }
    figures = {
        "arch": args.arch,
        "stage_seconds": report["stage_seconds"],
        "peak_tree_bytes": peak,
        "engines": rows,
        "verdict": report["verdict"],
        "exit_code": process.returncode,
    }
    begun.write(figures, args.out)


if __name__ == "__main__":
    main()
