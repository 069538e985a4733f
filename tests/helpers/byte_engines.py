"""A build with a real engine that takes bytes: its classes are the colours' means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.files import sha256_file
from edge_scnet.core.spec import InputForm, ModelSpec, TaskSpec
from tests.helpers.packages import NAMED, ir_build

FORM = InputForm(dtype="uint8", layout="NHWC", colour="RGB")
CLASSES = ("red", "green", "blue")


def byte_build(folder: Path) -> Path:
    """A build for the CPU whose INT8 engine's outputs are the means of red, green and blue over
    25.5; pictures are scaled to 12 and cut to 8 x 8.
    """
    import openvino as ov
    from openvino import opset13 as ops

    spec: ModelSpec = replace(
        NAMED,
        classes=CLASSES,
        num_classes=len(CLASSES),
        task=TaskSpec(kind="classification"),
        preprocessing=replace(NAMED.preprocessing, resize="crop", short_side=12),
    )
    build = ir_build(folder, spec, form=FORM)
    pixels = ops.parameter([1, 8, 8, 3], ov.Type.u8, name="pixels")
    means = ops.reduce_mean(ops.convert(pixels, "f32"), [1, 2], keep_dims=False)
    model = ov.Model([ops.divide(means, ops.constant([25.5], ov.Type.f32))], [pixels], "means")
    ov.save_model(model, build / "model.xml", compress_to_fp16=False)
    opened = BuildFolder.open(build)
    for name in ("model.xml", "model.bin"):
        entry = replace(opened.entry(name), sha256=sha256_file(build / name))
        opened = opened.with_artifact(entry)
    opened.save()
    return build
