"""The engine for Arm under emulation: `docs/how-to/arm64.md` has the recipe of what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.runtimes.onnxruntime import ONNX_RUNTIME
from edge_scnet.stats.accuracy import sqnr_db
from tests.quantizer.test_place_onnxruntime import (
    GATED,
    IMAGES,
    LINEAR,
    LINEAR_CONSTANTS,
    quantized,
    saved,
)

# The folder with `root` (Python of Debian's arm64) and `site` (the wheels), as the recipe makes it.
VARIABLE = "EDGE_SCNET_ARM64"
QEMU = "qemu-aarch64-static"
RUN = """
import sys
import numpy, onnxruntime
folder = sys.argv[1]
session = onnxruntime.InferenceSession(folder + "/arm.onnx", providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
images = numpy.load(folder + "/images.npy")
numpy.save(folder + "/outputs.npy", [session.run(None, {name: image[None]})[0] for image in images])
"""


@pytest.mark.soak
@pytest.mark.parametrize(
    ("nodes", "constants"), [(GATED, {}), (LINEAR, LINEAR_CONSTANTS)], ids=["gated", "linear"]
)
def test_arm_computes_what_this_machine_does(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], tmp_path: Path
) -> None:
    place = os.environ.get(VARIABLE)
    if place is None or shutil.which(QEMU) is None:
        pytest.skip(f"needs {QEMU}, and in {VARIABLE} the folder of docs/how-to/arm64.md")
    root = Path(place, "root")
    qdq, _ = quantized(saved(nodes, tmp_path, **constants))
    ir.save(qdq, tmp_path / "qdq.onnx")
    for target, name in (("arm64", "arm"), ("onnxruntime", "here")):
        ONNX_RUNTIME.build(tmp_path / "qdq.onnx", load_target(target), tmp_path / f"{name}.onnx")
    np.save(tmp_path / "images.npy", IMAGES)
    (tmp_path / "run.py").write_text(RUN)
    settings = {
        "PYTHONHOME": root / "usr",
        "PYTHONPATH": Path(place, "site"),
        "LD_LIBRARY_PATH": root / "usr/lib/aarch64-linux-gnu",
        "ORT_DISABLE_TELEMETRY": 1,
    }
    command = [QEMU, "-cpu", "cortex-a76", "-L", root]
    for key, value in settings.items():
        command += ["-E", f"{key}={value}"]
    command += [root / "usr/bin/python3.11", tmp_path / "run.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    with ONNX_RUNTIME.open(tmp_path / "here.onnx", OpenOptions()) as session:
        here = np.stack([session.infer(image[None])[0] for image in IMAGES])
    there = np.load(tmp_path / "outputs.npy")
    assert there.shape == here.shape and here.std() > 0.1
    # a code may differ where a sum of floats lies between two
    assert (sqnr_db(here, there) or np.inf) > 50
