"""The faults of `gate_power.py`: each takes the bench and gives the folder of a faulty build."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx_ir as ir
from bundled_set import published, write_idx

from edge_scnet.config import model_options
from edge_scnet.core import files
from edge_scnet.core import manifest as artifact
from edge_scnet.data import batches
from edge_scnet.gate import check as checking
from edge_scnet.graph import pairs
from edge_scnet.models import zoo
from edge_scnet.pipeline import build as pipeline
from edge_scnet.pipeline import profile
from edge_scnet.pipeline.stages import run as stage_order
from edge_scnet.profiler import process

MODEL, TENSOR, LAYER = "scnet20-fashion-mnist", "layer2.0.relu/Relu", "layer2.1.scconv.k3.0"
SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The sound build, its data, and where copies go."""

    root: Path
    calib: Path
    evaluation: Path
    model: str = MODEL
    options: model_options.ModelOptions = model_options.ModelOptions()  # noqa: RUF009  frozen
    # of the sound engine
    fidelity: Any = None

    def build(self, out: Path, **changes: Any) -> Path:
        """Builds and profiles into `out`: the build folder."""
        given = {
            "calib": self.calib,
            "evaluation": self.evaluation,
            "model_options": self.options,
            **changes,
        }
        model = given.pop("model", self.model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pipeline.build(model, target="cpu", out=out, seconds=SECONDS, **given).folder

    def copy(self, name: str) -> Path:
        """A copy of the sound build: stages whose inputs are unchanged are taken from it."""
        out = self.root / name.replace(" ", "-").replace("/", "-").replace("%", "")
        shutil.copytree(self.root / "sound", out)
        return out


# Faults: each takes the bench and gives the folder of the faulty build.


def on_noise(bench: Bench) -> Path:
    pictures = np.random.default_rng(0).integers(0, 256, (1024, 28, 28), dtype=np.uint8)
    return bench.build(
        bench.copy("noise"),
        calib=write_idx(bench.root / "data" / "noise", pictures, np.arange(1024) % 10),
    )


def on_one_class(bench: Bench) -> Path:
    pictures, labels = published("calib")
    chosen = pictures[labels == 5]  # sandals: the darkest
    return bench.build(
        bench.copy("class"),
        calib=write_idx(bench.root / "data" / "class", chosen, labels[labels == 5]),
    )


def preprocessed(bench: Bench, name: str, mean: float, std: float) -> Path:
    options = replace(
        model_options.ModelOptions(),
        arch="scnet20",
        num_classes=10,
        channels=1,
        input_size=28,
        mean=(mean,),
        std=(std,),
        class_names=zoo.FASHION_MNIST.classes,
        name=MODEL,
    )
    return bench.build(bench.copy(name), model=weights_file(bench), model_options=options)


def weights_file(bench: Bench) -> str:
    return str(Path(zoo.__file__).parent / "weights" / "scnet20_fashion_mnist.safetensors")


def rewritten(bench: Bench, name: str, change: Callable[[ir.Model], None]) -> Path:
    """A build of the sound Q/DQ graph with a change."""
    out = bench.copy(name)
    model = ir.load(out / MODEL / "cpu" / "model.qdq.onnx")
    change(model)
    file = out / "wrong.onnx"
    ir.save(model, file)
    return bench.build(out, qdq=file)


def scale(factor: float) -> Callable[[ir.Model], None]:
    def change(model: ir.Model) -> None:
        quantize = next(node for node in pairs.pairs(model) if node.name == f"{TENSOR}/Q")
        value = quantize.inputs[1]
        value.const_value = ir.tensor(
            (value.const_value.numpy() * factor).astype(np.float32), name=value.name
        )

    return change


def four_bits(model: ir.Model) -> None:
    node = next(node for node in pairs.pairs(model) if node.name == f"{LAYER}/weight/DQ")
    codes, scales, axis = node.inputs[0], node.inputs[1], pairs.integer(node, "axis", 0)
    data = codes.const_value.numpy().astype(np.float64)
    # 15 codes over each channel's own range, then back to int8's
    top = np.abs(data).max(axis=tuple(i for i in range(data.ndim) if i != axis), keepdims=True)
    coarse = np.rint(data / top * 7) / 7 * top
    codes.const_value = ir.tensor(np.rint(coarse).astype(np.int8), name=codes.name)
    assert scales is not None


def without_pair(model: ir.Model) -> None:
    quantize = next(node for node in pairs.pairs(model) if node.name == f"{TENSOR}/Q")
    for dequantize in pairs.dequantizers(quantize):
        for use in tuple(dequantize.outputs[0].uses()):
            use.node.replace_input_with(use.idx, quantize.inputs[0])
        model.graph.remove(dequantize, safe=True)
    model.graph.remove(quantize, safe=True)


def miscompiled(bench: Bench) -> Path:
    """Signed codes before a Concat, which OpenVINO computes wrongly, with the tool's own guards
    off.
    """

    def signed(model: ir.Model) -> None:
        for node in pairs.pairs(model):
            if (
                not pairs.is_weight(node)
                and (zero := pairs.constant(pairs.input_of(node, 2))) is not None
                and zero.dtype == np.uint8
            ):
                value = ir.Value(
                    name=f"{node.outputs[0].name}_signed",
                    const_value=ir.tensor((zero.astype(np.int16) - 128).astype(np.int8)),
                )
                value.const_value.name = value.name
                model.graph.register_initializer(value)
                node.replace_input_with(2, value)

    with (
        mock.patch("edge_scnet.runtimes.openvino.lint", lambda *a, **k: ()),
        mock.patch("edge_scnet.pipeline.stages.adopt.lint", lambda *a, **k: ()),
        mock.patch("edge_scnet.runtimes.openvino._repaired", lambda source: source.read_bytes()),
        mock.patch(
            "edge_scnet.pipeline.stages.compile.check_fidelity", lambda *a, **k: bench.fidelity
        ),
    ):
        return rewritten(bench, "miscompiled", signed)


def fp32_instead(bench: Bench) -> Path:
    """The float engine under the INT8 engine's name, its manifest made to fit."""
    folder = bench.copy("fp32") / MODEL / "cpu"
    for suffix in (".xml", ".bin"):
        shutil.copyfile(folder / f"model-fp32{suffix}", folder / f"model{suffix}")
    manifest = artifact.load_manifest(folder)
    for name in ("model.xml", "model.bin"):
        entry = manifest.artifacts[name]
        path = folder / name
        manifest = manifest.with_artifact(
            replace(entry, sha256=files.sha256_file(path), size_bytes=path.stat().st_size)
        )
    artifact.save_manifest(folder, manifest)
    profile.profile(folder, seconds=SECONDS)
    return folder


def other_checkpoint(bench: Bench) -> Path:
    from safetensors.numpy import load_file, save_file

    out = bench.copy("checkpoint")
    state = load_file(weights_file(bench))
    rng = np.random.default_rng(0)
    noisy = {
        k: (v + rng.normal(0, 1e-4, v.shape)).astype(v.dtype) if v.dtype == np.float32 else v
        for k, v in state.items()
    }
    file = out / "other.safetensors"
    save_file(noisy, file)
    options = replace(
        model_options.ModelOptions(),
        arch="scnet20",
        num_classes=10,
        channels=1,
        input_size=28,
        mean=(0.286,),
        std=(0.353,),
        class_names=zoo.FASHION_MNIST.classes,
        name=MODEL,
    )
    return bench.build(out, model=str(file), model_options=options)


def stale(bench: Bench) -> Path:
    """New weights, and the manifest says that the old statistics are of them."""
    folder = bench.copy("stale") / MODEL / "cpu"
    model = ir.load(folder / "model.onnx")
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.numpy().dtype == np.float32:
            value.const_value = ir.tensor(
                (value.const_value.numpy() * 1.02).astype(np.float32), name=value.name
            )
    ir.save(model, folder / "model.onnx")
    manifest = artifact.load_manifest(folder)
    digest = files.sha256_file(folder / "model.onnx")
    entry = replace(manifest.artifacts["model.onnx"], sha256=digest)
    ranges = manifest.artifacts["ranges.npz"]
    parents = {**ranges.parents, "model.onnx": digest}
    code = stage_order.STAGE_FUNCTIONS  # the stages in between are told that all is current
    with (
        mock.patch.dict(
            code,
            {
                "export": lambda job, events: job.folder.with_artifact(entry),
                "calibrate": lambda job, events: job.folder.with_artifact(
                    replace(ranges, parents=parents)
                ),
            },
        ),
        mock.patch(
            "edge_scnet.pipeline.stages.compile.check_fidelity", lambda *a, **k: bench.fidelity
        ),
    ):
        return bench.build(folder.parents[1])


def swapped_channels(bench: Bench) -> Path:
    out, read = bench.copy("channels"), batches.load_pixels
    with mock.patch(
        "edge_scnet.data.batches.load_pixels", lambda *arguments: read(*arguments)[..., ::-1]
    ):
        return bench.build(out)


def slower(bench: Bench) -> tuple[Path, Any]:
    folder = bench.copy("slow") / MODEL / "cpu"
    with mock.patch.object(process, "ENTRY", "tests.benchmarks.slow_child:main"):
        profile.profile(folder, seconds=SECONDS)
        checked = checking.check(
            [folder], against=bench.root / "baselines", time_again=profile.time_again
        )
        return folder, checked[0]


def tinted(root: Path, count: int) -> Bench:
    """Fashion-MNIST in colours of its own, and scnet20 that sees the first channel alone: a swap
    shows.
    """
    from PIL import Image
    from safetensors.numpy import load_file, save_file

    calib, labels = published("calib")
    test, test_labels = published("eval")
    for split, pictures, truth in (
        ("calib", calib, labels),
        ("eval", test[:count], test_labels[:count]),
    ):
        for i, (picture, label) in enumerate(zip(pictures, truth, strict=True)):
            folder = root / "tinted" / split / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            rgb = np.stack([picture, picture // 2, picture // 4], axis=-1)
            Image.fromarray(rgb).save(folder / f"{i:05}.png", compress_level=1)
    state = load_file(weights_file(Bench(root=root, calib=root, evaluation=root)))
    stem = next(name for name, value in state.items() if value.ndim == 4 and value.shape[1] == 1)
    state[stem] = np.concatenate(
        [state[stem], np.zeros_like(state[stem]), np.zeros_like(state[stem])], axis=1
    )
    save_file(state, root / "tinted.safetensors")
    options = replace(
        model_options.ModelOptions(),
        arch="scnet20",
        num_classes=10,
        channels=3,
        input_size=28,
        mean=(0.286,) * 3,
        std=(0.353,) * 3,
        name="tinted",
    )
    return Bench(
        root=root / "tinted-builds",
        calib=root / "tinted" / "calib",
        evaluation=root / "tinted" / "eval",
        model=str(root / "tinted.safetensors"),
        options=options,
    )


PLANTS: dict[str, Callable[[Bench], Path]] = {
    "calibrated on noise": on_noise,
    "calibrated on one class": on_one_class,
    "mean and std swapped": lambda bench: preprocessed(bench, "swapped", 0.353, 0.286),
    "a scale divided by 4": lambda bench: rewritten(bench, "quarter", scale(0.25)),
    "a miscompiled pattern": miscompiled,
    "a scale times 4": lambda bench: rewritten(bench, "times", scale(4.0)),
    "a layer at 4 bits": lambda bench: rewritten(bench, "bits", four_bits),
    "a Q/DQ pair dropped": lambda bench: rewritten(bench, "pair", without_pair),
    "FP32 in place of INT8": fp32_instead,
    "another checkpoint": other_checkpoint,
    "stale statistics": stale,
    "other preprocessing": lambda bench: preprocessed(bench, "preprocessing", 0.2861, 0.353),
}
