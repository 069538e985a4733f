"""The spec of a model that the zoo does not know: the user's options, and what holds without them.

An option wins, then the architecture's own value; where there is neither, an error names the
option.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.models.architectures import check_architecture

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
# In place of an architecture's name, for models that are not made from `edge_scnet.scnet`.
ONNX_FILE, FACTORY = "onnx", "factory"
_COMPACT = ("scnet20", "scnet29")  # for images of 32 pixels


def spec_of(arch: str, name: str, options: ModelOptions) -> ModelSpec:
    """Returns the spec of a model by its options.

    Args:
        arch: an architecture, or `ONNX_FILE` or `FACTORY`.
        name: the model's name where the options have none.

    Raises:
        ArtifactError: an unknown architecture; options that contradict each other.
    """
    is_own = arch not in (ONNX_FILE, FACTORY)
    if is_own:
        check_architecture(arch)
    compact = arch in _COMPACT
    channels = options.channels or 3
    input_size = options.input_size or (32 if compact else 224)
    mean = options.mean or (CIFAR10_MEAN if compact else IMAGENET_MEAN)
    std = options.std or (CIFAR10_STD if compact else IMAGENET_STD)
    # an ONNX file says itself how many channels and pixels it wants: `probe_onnx` comes back here
    # with both
    complete = arch != ONNX_FILE or (
        options.channels is not None and options.input_size is not None
    )
    if complete:
        _check_length("--mean", mean, channels, is_default=not options.mean)
        _check_length("--std", std, channels, is_default=not options.std)
    _check_values(mean, std)
    classes = options.class_names or ()
    if classes and options.num_classes and len(classes) != options.num_classes:
        raise ArtifactError(
            f"--class-names lists {len(classes)} names, --num-classes says {options.num_classes}"
        )
    trained_classes = (10 if compact else 1000) if is_own else None
    resize = options.resize
    if resize is None and not compact and input_size >= 64:
        resize = round(input_size * 256 / 224)
    if resize is not None and resize < input_size and complete:
        raise ArtifactError(
            f"--resize {resize} is smaller than the crop, --input-size {input_size}"
        )
    return ModelSpec(
        name=name if options.name is None else options.name,
        arch=arch,
        channels=channels,
        input_size=input_size,
        mean=mean,
        std=std,
        resize=resize,
        classes=tuple(classes),
        num_classes=options.num_classes or len(classes) or trained_classes,
    )


def _check_length(option: str, values: Sequence[float], channels: int, *, is_default: bool) -> None:
    """Raises ArtifactError where there is not one value for each channel."""
    if len(values) == channels:
        return
    problem = (
        f"{option} has no default for such images"
        if is_default
        else f"{option} has {len(values)} values"
    )
    plural = "s" * (channels > 1)
    raise ArtifactError(
        f"the input has {channels} channel{plural}, and {problem}",
        hint=f"pass --mean and --std with {channels} value{plural} each, of pixels from 0 to 1",
    )


def _check_values(mean: Sequence[float], std: Sequence[float]) -> None:
    if not all(0 < value < float("inf") for value in std):
        raise ArtifactError(f"--std must be positive and finite, got {', '.join(map(str, std))}")
    if not all(abs(value) < float("inf") for value in mean):
        raise ArtifactError(f"--mean must be finite, got {', '.join(map(str, mean))}")
