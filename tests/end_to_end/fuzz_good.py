"""Whole files of every kind that the tool reads, and its commands run in this process."""

from __future__ import annotations

import json
import shutil
import tarfile
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_scnet.compile import bundle
from edge_scnet.config.target import Gates, load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import FormFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FP16_FORM, INT8_FORM, QDQ_ONNX, Artifact
from edge_scnet.gate import baseline
from edge_scnet.report.store import save_report
from tests.helpers.folders import float_build, identity
from tests.helpers.graphs import tiny_onnx
from tests.helpers.images import idx_folder, published
from tests.helpers.reports import full_report, qdq_facts
from tests.helpers.reports import report as small_report
from tests.helpers.tool import run_app


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    output: str
    errors: str
    trace: str = ""


def run_command(arguments: Sequence[str]) -> Done:
    """Runs a command in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = run_app(arguments, prog_name="edge-scnet")
    trace = ""
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        trace = "".join(traceback.format_exception(done.exception))
    return Done(code=done.exit_code, output=done.output, errors=done.stderr, trace=trace)


class Good:
    """Whole files, from which cases are made: built once."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.root = root
        self.build = float_build(root / "build", identity())
        self.image = root / "image.png"
        Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(self.image)
        self.report = root / "net" / "report.json"
        self.report.parent.mkdir()
        save_report(small_report(), self.report)
        self.full = root / "full.json"
        save_report(full_report(), self.full)
        self.baseline = root / "net-cpu.json"
        baseline.save(baseline.of_report(small_report(), Gates()), self.baseline)
        self.onnx = tiny_onnx(root / "tiny.onnx", classes=10, size=28)
        images, labels = published("calib")
        self.images = idx_folder(root / "calib", images[:120], labels[:120])
        self.board = self._board(root / "board")
        self.bundle = self._bundle(root / "bundle")
        self.compiled = self._compiled(root / "out")

    def _board(self, folder: Path) -> Path:
        """A build folder of a board, with results."""
        float_build(folder, identity())
        opened = BuildFolder.open(folder)
        manifest = replace(opened.manifest, target=asdict(load_target("jetson")))
        for name, facts in (
            (INT8_FORM, FormFacts(precision="int8", kept_fp32=())),
            (FP16_FORM, FormFacts(precision="fp16", kept_fp32=())),
            (QDQ_ONNX, qdq_facts()),
        ):
            shutil.copy(folder / "model.onnx", folder / name)
            manifest = manifest.with_artifact(
                Artifact(
                    file=name,
                    kind="onnx" if name == QDQ_ONNX else "onnx-form",
                    stage="quantize" if name == QDQ_ONNX else "compile",
                    sha256=sha256_file(folder / name),
                    size_bytes=1,
                    key="k",
                    facts=facts,
                )
            )
        BuildFolder(path=folder, manifest=manifest).save()
        self.results = self._results(sha256_file(folder / INT8_FORM))
        return folder

    def _results(self, form: str) -> dict[str, bytes]:
        board = {
            "tensorrt": "10.3.0",
            "board": "NVIDIA Jetson Orin Nano",
            "timing": "--useCudaGraph",
            "engine_sha256": form,
            **{f"{name}_bytes": 1000 for name in ("int8", "fp16")},
            **{f"{name}_sha256": "1" * 64 for name in ("int8", "fp16")},
        }
        files: dict[str, Any] = {"board.json": board}
        log = (
            "&&&& RUNNING TensorRT.trtexec [TensorRT v100300]\n[I] Throughput: 987.5 qps\n[I] GPU"
            " Compute Time: min = 1 ms, max = 1 ms, mean = 1 ms, median = 1 ms\n&&&& PASSED"
            " TensorRT.trtexec [TensorRT v100300]\n"
        )
        layer = {
            "Name": "conv",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "x", "Format/Datatype": "Thirty-two wide Int8 format"}],
            "Outputs": [{"Name": "y", "Datatype": "Int8"}],
            "Metadata": "[ONNX Layer: conv]",
        }
        for stem in ("engine", "engine-fp16"):
            for number in range(1, 7):
                files[f"{stem}.{number}.times.json"] = [{"computeMs": 1.0}] * 5
                files[f"{stem}.{number}.log"] = log
            files[f"{stem}.profile.json"] = [{"count": 9}, {"name": "conv", "medianMs": 0.5}]
            files[f"{stem}.layers.json"] = {"Layers": [layer]}
        files["tegrastats.log"] = (
            "RAM 3000/7620MB (lfb 4x4MB) GR3D_FREQ 99%@[1020] gpu@50.5C VDD_IN 5000mW/4900mW\n" * 5
        )
        files["nvpmodel.txt"] = "NV Power Mode: MAXN\n0\n"
        files["jetson_clocks.txt"] = "GPU MinFreq=1020000000 MaxFreq=1020000000\n"
        return {
            name: (text if isinstance(text, str) else json.dumps(text)).encode()
            for name, text in files.items()
        }

    def _bundle(self, folder: Path) -> dict[str, bytes]:
        """The files of a bundle, by name."""
        folder.mkdir()
        made = BuildFolder.open(self.board)
        simulated = bundle.Reference(
            images=np.zeros((1, 3, 8, 8), np.float32),
            outputs=(np.zeros((1, 3, 8, 8), np.float32),),
            simulation=(),
        )
        written = bundle.write_bundle(made, load_target("jetson"), simulated, None)
        with tarfile.open(written) as archive:
            members = {
                Path(member.name).name: file.read()
                for member in archive
                if (file := archive.extractfile(member)) is not None
            }
        written.unlink()
        return members

    def _compiled(self, out: Path) -> Path:
        arguments = ["compile", self.onnx, "--mean", 0.286, "--std", 0.353, "--calib", self.images]
        done = run_command([*map(str, arguments), "--out", str(out)])
        assert done.code == 0, done.output
        return out / "tiny" / "cpu"
