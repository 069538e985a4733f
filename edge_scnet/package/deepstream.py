"""`--for deepstream`: settings of the DeepStream element that can feed an engine as it was judged.

Gst-nvinfer makes float32 of every pixel, y = net-scale-factor * (x - offset), with one factor for
all channels, and has no other input type (`InferPreprocessor::transform` of
nvdsinfer_context_impl.cpp, DeepStream 9.2). An engine that takes bytes is fed by Gst-nvinferserver,
from a Triton repository.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from edge_scnet.errors import ArtifactError
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.form import Content, Format, check_pictures
from edge_scnet.package.labels import LABELS, LABELS_JSON, for_nvinfer, json_names, rewritten_words
from edge_scnet.package.pbtxt import Word, text_format
from edge_scnet.package.readme import readme
from edge_scnet.package.tensors import Tensors, tensors_of
from edge_scnet.package.triton import REPOSITORY, repository

NVINFER, NVINFERSERVER = "config_infer_primary.txt", "config_inferserver_primary.txt"
# What GKeyFile keeps of a list's values behind a backslash.
_ESCAPES = str.maketrans(
    {"\\": "\\\\", ";": "\\;", "\n": "\\n", "\t": "\\t", "\r": "\\r", " ": "\\s"}
)
# Values of NvDsInferNetworkMode and NvDsInferNetworkType.
_MODES = {"fp32": 0, "int8": 1, "fp16": 2}
_CLASSIFIER, _OTHER = 1, 100
_COLOURS = {"RGB": (0, "IMAGE_FORMAT_RGB"), "BGR": (1, "IMAGE_FORMAT_BGR")}
_GREY = (2, "IMAGE_FORMAT_GRAY")
# Of NvBufSurfTransform_Inter; other filters have names that hardware defines.
_FILTERS = {"nearest": 0, "bilinear": 1}
_LIBRARIES = {"pillow": "Pillow", "opencv": "OpenCV"}


def contents(facts: PackageFacts) -> Mapping[str, Content]:
    """The files of the package.

    Raises:
        ArtifactError: the network takes no pictures, or its preprocessing is one that the element
            cannot do.
    """
    check_pictures(FORMAT, facts)
    tensors = tensors_of(facts)
    classes = facts.model.classes
    if facts.input.is_bytes:
        folder = f"{REPOSITORY}/{facts.plain_name}"
        files: dict[str, Content] = {NVINFERSERVER: nvinferserver(facts, tensors)}
        files |= repository(facts, tensors, folder=folder)
        element = f"nvinferserver config-file-path={NVINFERSERVER}"
    else:
        files = {NVINFER: nvinfer(facts, tensors), facts.engine.name: facts.engine}
        element = f"nvinfer config-file-path={NVINFER}"
    if classes:
        files |= {LABELS: _labels(facts), LABELS_JSON: json_names(classes)}
    notes = tuple(_notes(facts))
    return {"README.md": readme(FORMAT, facts, steps=_steps(facts, element), notes=notes), **files}


def _labels(facts: PackageFacts) -> str:
    return for_nvinfer(facts.model.classes, one_line=facts.is_classifier)


def nvinfer(facts: PackageFacts, tensors: Tensors) -> str:
    """The text of Gst-nvinfer's settings, which GLib's GKeyFile reads.

    Raises:
        ArtifactError: it cannot do what the engine was judged with.
    """
    scale, offsets = _scale_and_offsets(facts)
    names = (tensor.name.translate(_ESCAPES) for tensor in tensors.outputs)
    sizes = (facts.model.channels, facts.model.height, facts.model.width)
    rule = facts.model.preprocessing
    fields: dict[str, object] = {
        "gpu-id": 0,
        "gie-unique-id": 1,
        "process-mode": 1,
        "model-engine-file": facts.engine.name,
        "network-mode": _MODES[facts.precision],
        "network-type": _CLASSIFIER if facts.is_classifier else _OTHER,
        "batch-size": facts.batch,
        "infer-dims": ";".join(map(str, sizes)),
        "model-color-format": _colour(facts)[0],
        "net-scale-factor": repr(scale),
        "offsets": ";".join(map(repr, offsets)),
        "maintain-aspect-ratio": int(rule.resize == "letterbox"),
        "symmetric-padding": int(rule.resize == "letterbox" and rule.pad_anchor == "center"),
        "scaling-filter": _FILTERS.get(rule.interpolation, 1),
        "output-blob-names": ";".join(names),
    }
    if facts.is_classifier:
        fields["classifier-threshold"] = 0.0
    else:
        fields["output-tensor-meta"] = 1
    if facts.model.num_classes is not None and not facts.is_classifier:
        fields["num-detected-classes"] = facts.model.num_classes
    if facts.model.classes:
        fields["labelfile-path"] = LABELS
    lines = "".join(f"{name}={value}\n" for name, value in fields.items())
    return (
        f"# Written by edge-scnet package. Paths are from this file's folder.\n[property]\n{lines}"
    )


def nvinferserver(facts: PackageFacts, tensors: Tensors) -> str:
    """The text of Gst-nvinferserver's settings: `InferenceConfig` of nvdsinferserver_config.proto.

    Raises:
        ArtifactError: it cannot do what the engine was judged with.
    """
    if facts.batch > 1:
        raise ArtifactError(
            f"deepstream: the plan takes {facts.batch} frames at once and no fewer, and"
            " Gst-nvinferserver feeds such a model one by one",
            hint="build for a target with batch = 1, or with --input float for Gst-nvinfer",
        )
    rule, name = facts.model.preprocessing, tensors.inputs[0].name
    kind = {"classification": {"threshold": 0.0}} if facts.is_classifier else {"other": {}}
    labels = {"labelfile_path": LABELS} if facts.model.classes else {}
    fields: dict[str, object] = {
        "infer_config": {
            "unique_id": 1,
            "gpu_ids": [0],
            "max_batch_size": 1,
            "backend": {
                "inputs": [{"name": name}],
                "outputs": [{"name": tensor.name} for tensor in tensors.outputs],
                "triton": {
                    "model_name": facts.plain_name,
                    "version": -1,
                    "model_repo": {"root": REPOSITORY, "strict_model_config": True},
                },
            },
            "preprocess": {
                "network_format": Word(_colour(facts)[1]),
                "tensor_order": Word(
                    "TENSOR_ORDER_NHWC" if facts.input.layout == "NHWC" else "TENSOR_ORDER_LINEAR"
                ),
                "tensor_name": name,
                "maintain_aspect_ratio": int(rule.resize == "letterbox"),
                "symmetric_padding": int(
                    rule.resize == "letterbox" and rule.pad_anchor == "center"
                ),
                "frame_scaling_hw": Word("FRAME_SCALING_HW_DEFAULT"),
                "frame_scaling_filter": _FILTERS.get(rule.interpolation, 1),
                # the engine takes the codes as they are
                "normalize": {"scale_factor": 1.0},
            },
            "postprocess": {**labels, **kind},
        },
        "input_control": {"process_mode": Word("PROCESS_MODE_FULL_FRAME"), "interval": 0},
        "output_control": {"output_tensor_meta": not facts.is_classifier},
    }
    head = "# Written by edge-scnet package. Paths are from this file's folder.\n"
    return head + text_format(fields)


def _scale_and_offsets(facts: PackageFacts) -> tuple[float, tuple[float, ...]]:
    """net-scale-factor and offsets: (x * pixel_max / 255 - mean) / std, as factor * (x - offset).

    Raises:
        ArtifactError: the channels have several stds.
    """
    rule, channels = facts.model.preprocessing, facts.model.channels
    mean = rule.mean or (0.0,) * channels
    std = rule.std or (1.0,) * channels
    if any(not math.isclose(value, std[0], rel_tol=1e-6) for value in std):
        listed = " ".join(f"{value:g}" for value in std)
        raise ArtifactError(
            f"deepstream: Gst-nvinfer has one factor for all channels (net-scale-factor), and the"
            f" std of {facts.model.name} is {listed}: it would feed the engine other numbers than"
            " it was judged with",
            hint=(
                "a plan that takes bytes has mean and std in itself, and Gst-nvinferserver feeds"
                f" those: {facts.rebuild} --input uint8, then package that build"
            ),
        )
    units = rule.pixel_max / 255
    return units / std[0], tuple(value / units for value in mean)


def _colour(facts: PackageFacts) -> tuple[int, str]:
    """The order of the channels, as Gst-nvinfer and Gst-nvinferserver name it.

    Raises:
        ArtifactError: the luma in three channels, which neither makes.
    """
    if facts.model.channels == 1:
        return _GREY
    try:
        return _COLOURS[facts.model.preprocessing.colour]
    except KeyError:
        raise ArtifactError(
            f"deepstream: {facts.model.name} takes grey in all of its"
            f" {facts.model.channels} channels, which DeepStream does not make; it has RGB, BGR and"
            " grey for one channel",
            hint="--for python, or --for cpp, make it",
        ) from None


def _steps(facts: PackageFacts, element: str) -> str:
    width, height = max(facts.model.width, 640), max(facts.model.height, 480)
    return f"""
# a video, from this folder; on dGPUs `nveglglessink` instead of `nv3dsink`
gst-launch-1.0 filesrc location=video.mp4 ! qtdemux ! h264parse ! nvv4l2decoder ! m.sink_0 \\
    nvstreammux name=m batch-size={facts.batch} width={width} height={height} ! \\
    {element} ! nvvideoconvert ! nvdsosd ! nv3dsink
"""


def _notes(facts: PackageFacts) -> Iterator[str]:
    rule = facts.model.preprocessing
    if facts.input.is_bytes:
        yield (
            "The engine takes bytes, which Gst-nvinfer cannot feed: it makes float32 alone. So this"
            f" is for Gst-nvinferserver, which opens `{REPOSITORY}/`."
        )
    else:
        yield (
            f"There is no `onnx-file`: where Gst-nvinfer cannot load `{facts.engine.name}` it would"
            " build another engine, and not in INT8."
        )
    yield from _resizing(facts)
    if facts.is_classifier:
        yield (
            "It tells the class with the largest output above 0. Where the network ends without a"
            " softmax that number is no probability."
        )
    else:
        yield "The outputs are attached as tensors (output-tensor-meta); your probe decodes them."
    if facts.model.classes:
        separator = ";" if facts.is_classifier else "\n"
        yield from rewritten_words(facts.model.classes, _labels(facts), separator=separator)
    yield "Written by DeepStream's published sources; it was not run on a board for this."
    if rule.resize == "none":
        yield "Frames have to have the input's size: this network's pictures are not resized."


def _resizing(facts: PackageFacts) -> Iterator[str]:
    """What DeepStream does otherwise with a frame than the build did with pictures."""
    rule = facts.model.preprocessing
    if rule.resize == "crop":
        yield (
            "DeepStream stretches a frame to the input, and the figures are of pictures whose"
            " centre was cut out: cut frames before it (`nvvideoconvert src-crop=`)."
        )
    if rule.resize == "letterbox" and any(rule.pad_value):
        pads = " ".join(map(str, rule.pad_value))
        yield f"DeepStream pads with 0, and the figures are of pictures padded with {pads}."
    if rule.interpolation not in _FILTERS or rule.antialias:
        yield (
            f"Frames are scaled by hardware, not as {_LIBRARIES[rule.library]} does it"
            f" ({rule.interpolation}): measure on frames of your own."
        )


FORMAT = Format(
    name="deepstream",
    title="settings for NVIDIA DeepStream",
    runtimes=("tensorrt",),
    contents=contents,
)
