"""Facts of packages made by hand, for formats that need no build: a small IR, a plan's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from edge_scnet.config.target import load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import FormFacts
from edge_scnet.core.files import sha256_bytes
from edge_scnet.core.manifest import INT8_FORM, Artifact, Manifest
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import InputForm, ModelSpec, TaskSpec
from edge_scnet.package.facts import EnginePart, PackageFacts
from tests.helpers.hostile import NAMES
from tests.helpers.reports import report

# What a label file, a settings file, a page and a terminal could each stumble over.
HOSTILE = (
    "plain",
    'double " quote',
    "single ' quote",
    "line\nbreak",
    "carriage\rreturn",
    "back\\slash \\n",
    "semi;colon",
    "",
    "   ",
    "# leading hash",
    "- dash: and colon, [list] {map} & * ! | > % @ `",
    "no",
    "12:30",
    "Größe, 大きい, 🐧",
    "turn\u202earound",
    "esc\x1b[31m",
    "line\u2028separator",
    "</script><b>|pipe|",
    "---",
    "nul\0",
    "key=value",
    *NAMES,
)
PIXELS = InputForm(dtype="uint8", layout="NHWC", colour="RGB")
RULE = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.25, 0.25, 0.25), colour="RGB", origins={})


def model(classes: tuple[str, ...] = HOSTILE, **changes: Any) -> ModelSpec:
    """A classifier of pictures."""
    made = ModelSpec(
        name="net",
        arch="net",
        input_shape=(3, 32, 48),
        preprocessing=RULE,
        classes=classes,
        num_classes=len(classes),
    )
    return replace(made, **changes)


def ir(
    *,
    outputs: int = len(HOSTILE),
    name: str = "input",
    output: str = "logits",
    pixels: bool = False,
) -> str:
    """The XML of an IR, as far as its inputs and outputs go.

    Args:
        pixels: whether it takes bytes, channels last.
    """
    from xml.sax.saxutils import quoteattr

    shape = (1, 32, 48, 3) if pixels else (1, 3, 32, 48)
    sizes = "".join(f"<dim>{size}</dim>" for size in shape)
    kind = "U8" if pixels else "FP32"
    names, results = (quoteattr(text.replace(",", "\\,")) for text in (name, output))
    return f"""<?xml version="1.0"?>
<net name="net" version="11"><layers>
<layer id="0" name={quoteattr(name)} type="Parameter" version="opset1">
 <output><port id="0" precision="{kind}" names={names}>{sizes}
 </port></output></layer>
<layer id="1" name="out" type="Result" version="opset1"
 output_names={results}>
 <input><port id="0" precision="FP32"><dim>1</dim><dim>{outputs}</dim></port></input></layer>
</layers></net>
"""


def part(folder: Path, name: str, content: bytes) -> EnginePart:
    """A file of an engine."""
    path = folder / name
    path.write_bytes(content)
    return EnginePart(name=name, path=path, sha256=sha256_bytes(content), size_bytes=len(content))


def of_openvino(folder: Path, *, xml: str | None = None, **changes: Any) -> PackageFacts:
    """Facts of an IR on a CPU, with a report."""
    files = (
        part(folder, "model.xml", (ir() if xml is None else xml).encode()),
        part(folder, "model.bin", b"weights"),
    )
    measured = report(int8={"sha256": files[0].sha256}, verdict="ship: it is faster")
    made = PackageFacts(
        model=model(),
        task=TaskSpec(kind="classification"),
        target=load_target("cpu-avx2"),
        floor="avx2",
        rebuild="edge-scnet build net.onnx --target cpu-avx2",
        runtime="openvino",
        runtime_title="OpenVINO",
        runtime_version="2026.4.1",
        kind="openvino-ir",
        precision="int8",
        opened_in="f32",
        board=None,
        files=files,
        report=measured,
        held_back=None,
    )
    return replace(made, **changes)


def of_tensorrt(folder: Path, **changes: Any) -> PackageFacts:
    """Facts of a plan; beside it lie the ONNX file that it was made of, and a manifest."""
    target = load_target("jetson-orin-nano")
    spec = changes.get("model", model())
    graph = _form(spec, changes.get("input", InputForm()))
    form = part(folder, INT8_FORM, graph.SerializeToString())
    artifact = Artifact(
        file=form.name,
        kind="onnx-form",
        stage="compile",
        sha256=form.sha256,
        size_bytes=form.size_bytes,
        key="k",
        facts=FormFacts(precision="int8", kept_fp32=()),
    )
    manifest = Manifest(
        model=spec,
        target={},
        floor="none",
        precision_hint="default",
        rebuild="edge-scnet build net.onnx --target jetson-orin-nano",
        artifacts={form.name: artifact},
    )
    BuildFolder(path=folder, manifest=manifest).save()
    return replace(
        of_openvino(folder),
        **{
            "target": target,
            "floor": "none",
            "rebuild": manifest.rebuild,
            "runtime": "tensorrt",
            "runtime_title": "TensorRT",
            "runtime_version": "10.3.0",
            "kind": "tensorrt-plan",
            "opened_in": "default",
            "board": "NVIDIA Jetson Orin Nano",
            "files": (part(folder, "engine.plan", b"a plan, which is only copied"),),
            "report": None,
            **changes,
        },
    )


def _form(spec: ModelSpec, form: InputForm) -> onnx.ModelProto:
    kind, count = onnx.TensorProto.FLOAT, len(spec.classes)
    channels, *plane = spec.input_shape
    taken, sizes = (
        (onnx.TensorProto.UINT8, [*plane, channels]) if form.is_bytes else (kind, spec.input_shape)
    )
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["input"], ["logits"])],
        "net",
        [onnx.helper.make_tensor_value_info("input", taken, [1, *sizes])],
        [onnx.helper.make_tensor_value_info("logits", kind, [1, count])],
    )
    return onnx.helper.make_model(graph)
