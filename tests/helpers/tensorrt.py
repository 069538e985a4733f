"""Boards, plans and a trtexec for tests without a GPU."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from packaging.version import Version

from edge_scnet.compile import board, bundle
from edge_scnet.config.target import TargetSpec, load_target
from edge_scnet.core.events import Silent
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FP16_FORM, INT8_FORM, MANIFEST, load_manifest
from edge_scnet.graph.run import run_onnx
from edge_scnet.machine import environment
from edge_scnet.runtimes.tensorrt import backend, trtexec
from tests.helpers.data import DATA
from tests.helpers.tool import Outcome

JETSON = load_target("jetson")
NO_IMAGES = np.zeros((0, 1, 28, 28), np.float32)
ON_X86_LINUX = sys.platform == "linux" and platform.machine() == "x86_64"
needs_rtx = pytest.mark.skipif(
    backend.RTX.unavailable() is not None, reason="TensorRT-RTX is not installed (extra rtx)"
)


def _needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


# of boards, as a bundle's script is run by them
SHELLS = [
    pytest.param(("dash",), marks=_needs("dash")),
    pytest.param(("busybox", "sh"), marks=_needs("busybox")),
]


def outputs(model: ir.Model, eval_batches: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([run[0] for run in run_onnx(model, eval_batches)])


def one_convolution(scales: np.ndarray, codes: np.ndarray, opset: int = 19) -> ir.Model:
    i8 = np.int8
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="x/Q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="x/DQ"),
        helper.make_node(
            "DequantizeLinear", ["c", "ws", "wz"], ["w"], axis=0, name="conv/weight/DQ"
        ),
        helper.make_node("Conv", ["d", "w", "b"], ["y"], name="conv"),
    ]
    arrays = {
        "s": np.float32(0.02),
        "z": i8(0),
        "c": codes,
        "ws": scales,
        "wz": np.zeros(len(scales), i8),
        "b": np.ones(2, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))


INSPECTOR_10 = {
    "Layers": [
        {
            "Name": "conv1 + relu",
            "LayerType": "CaskConvolution",
            "ParameterType": "Convolution",
            "Inputs": [
                {
                    "Name": "a",
                    "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format",
                }
            ],
            "Outputs": [{"Name": "b", "Format/Datatype": "Row major linear FP16 format"}],
            "Metadata": "[ONNX Layer: conv1]\u001e[ONNX Layer: relu]",
        },
        {
            "Name": "Reformatting CopyNode",
            "LayerType": "Reformat",
            "Inputs": [],
            "Outputs": [],
            "Metadata": "",
        },
    ],
    "Bindings": ["a", "b"],
}


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        return {name: file.read() for name, file in found.items() if file is not None}


PREFIX = "scnet20-fashion-mnist-jetson"


def with_tensorrt(
    monkeypatch: pytest.MonkeyPatch, version: str | None, fault: Exception | None = None
) -> None:
    """Acts as if this version of TensorRT's Python packages were installed, or none.

    Args:
        fault: raised when it is loaded.
    """

    def preload(self: backend.TensorRt) -> None:
        if fault is not None:
            raise fault

    reason = None if version else "the package 'tensorrt' is not installed"
    monkeypatch.setattr(backend.TensorRt, "unavailable", lambda self: reason)
    monkeypatch.setattr(
        backend.TensorRt, "versions", lambda self: {self.title: version} if version else {}
    )
    monkeypatch.setattr(backend.TensorRt, "preload", preload)


def on_board(
    monkeypatch: pytest.MonkeyPatch, model: str | None, version: str | None, free_mib: int = 8192
) -> None:
    """Acts a board of this model with this version of TensorRT's Python package.

    Args:
        model: as the board tells it; None: this machine is no board.
        version: None: the package is not installed.
        free_mib: free memory.
    """
    facts = replace(environment.collect(), jetson_model=model)
    monkeypatch.setattr(environment, "collect", lambda: facts)
    monkeypatch.setattr(board, "available_memory_bytes", lambda: free_mib << 20)
    with_tensorrt(monkeypatch, version)


class Silence(Silent):
    """Warnings about the few images of a test are none of it."""

    def warn(self, message: str) -> None: ...


ORIN = "NVIDIA Jetson Orin Nano Developer Kit"
# Prints and exports what trtexec does, in its words and with numbers made up.
FAKE_TRTEXEC = (DATA / "fake_trtexec.sh").read_text()
PROFILE = [
    {"count": 50},
    {"name": "conv1 + relu", "timeMs": 5.0, "averageMs": 0.1, "medianMs": 0.09, "percentage": 100},
]


# What each version takes, by samples/common/sampleOptions.cpp of NVIDIA/TensorRT at its tag; that
# of 11.4 is not public, 11.1's stands for it.
TRTEXEC_OPTIONS = {
    version: options
    for version, _, options in (
        line.partition(" ") for line in (DATA / "trtexec_options.txt").read_text().splitlines()
    )
}
# Before 8.5 the exported times begin with those of the warm-up.
_WARM_UP = r"{\"startComputeMs\": 2.0, \"computeMs\": 9.0}, "


def options_of(number: str) -> str:
    """The options of the newest version known that is no newer than a banner's number."""
    version = Version(trtexec.version_of(number)) if number.isdigit() else Version("99")
    known = [name for name in TRTEXEC_OPTIONS if Version(name) <= version]
    return TRTEXEC_OPTIONS[known[-1]]


def fake_trtexec(path: Path, number: str, fail: str = "", *, banner: bool = True) -> Path:
    """Writes a program that takes and refuses options as trtexec of this version does."""
    text = FAKE_TRTEXEC
    for key, value in {
        "BANNER": f" [TensorRT v{number}]" if banner else "",
        "FAIL": fail,
        "OPTIONS": options_of(number),
        "WARM_UP": _WARM_UP if number.isdigit() and int(number) < 8500 else "",
        "LAYERS": json.dumps(INSPECTOR_10),
        "PROFILE": json.dumps(PROFILE),
    }.items():
        text = text.replace(f"@{key}@", value)
    path.write_text(text)
    path.chmod(0o755)
    return path


TEGRASTATS = (DATA / "tegrastats.sh").read_text()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def unpacked_bundle(folder: Path, target: TargetSpec = JETSON) -> Path:
    """Writes what build.sh needs of a bundle into a folder; its graphs are bytes of no meaning."""
    folder.mkdir(exist_ok=True)
    manifest = json.loads((DATA / "manifests" / "jetson.json").read_text())
    manifest["target"] = asdict(target)
    names = (INT8_FORM, FP16_FORM) if target.precision == "int8" else (FP16_FORM,)
    if target.precision == "fp16":
        del manifest["artifacts"][INT8_FORM], manifest["artifacts"]["model.qdq.onnx"]
    for name in names:
        (folder / name).write_bytes(name.encode())
        manifest["artifacts"][name]["sha256"] = sha256_file(folder / name)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    sums = [f"{sha256_file(folder / name)}  {name}\n" for name in (*names, MANIFEST)]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def run_script(
    folder: Path,
    number: str,
    fail: str = "",
    *,
    target: TargetSpec = JETSON,
    command: tuple[str, ...] = ("sh", "build.sh"),
    where: Path | None = None,
    places: Mapping[str, Path] | None = None,
    banner: bool = True,
    user: int | None = None,
    **environment: str,
) -> Outcome:
    """Runs build.sh in the folder of an unpacked bundle, with a trtexec of the test's.

    Args:
        number: of trtexec's banner.
        fail: shell lines that trtexec runs before it says how it went.
        where: the folder that it is called from; None: the bundle's.
        places: files and folders of this machine that others stand for; no GPU's are there.
        banner: whether trtexec tells its version.
        user: to run as.
        environment: beside this process's.
    """
    assert target.board is not None
    # the build machine's own memory must not decide
    small = replace(target, board=replace(target.board, workspace_mib=16))
    text = bundle.build_script(load_manifest(folder), small)
    for place, other in {"/sys/class/": Path("/nowhere"), **(places or {})}.items():
        text = text.replace(place, f"{other}/" if place.endswith("/") else str(other))
    (folder / "build.sh").write_text(text)
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    kept = [line for line in sums if not line.endswith("build.sh")]
    (folder / "SHA256SUMS").write_text("\n".join(kept) + "\n")
    fake = fake_trtexec(folder / "trtexec", number, fail, banner=banner)
    done = subprocess.run(
        command,
        cwd=where or folder,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "TRTEXEC": str(fake),
            "CALLS": str(folder / "calls"),
            **environment,
        },
        user=user,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
