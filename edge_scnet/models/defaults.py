"""The spec of a model that the zoo does not know: the user's options, and what holds without them.

An option wins, then the architecture's own value; where there is neither, an error names the
option.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_scnet.config.model_options import PICTURE_OPTIONS, ModelOptions
from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from edge_scnet.core.spec import MOST_VALUES, ModelSpec, TaskSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.models.architectures import check_architecture
from edge_scnet.models.pictures import Defaults, Own, preprocessing_of

CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
# In place of an architecture's name, for models that are not made from `edge_scnet.scnet`.
ONNX_FILE, FACTORY = "onnx", "factory"
_DETECTION = "detection"
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
    shape = _shape_of(options, 32 if compact else 224)
    # an ONNX file, or a module's samples and options, say which shape is wanted: `probe_onnx` and
    # `probe_torch` come back here with it
    complete = is_own or options.input_shape is not None
    classes = options.class_names or ()
    if classes and options.num_classes and len(classes) != options.num_classes:
        raise ArtifactError(
            f"--class-names lists {len(classes)} names, --num-classes says {options.num_classes}",
            hint="leave --num-classes out: the names say it",
        )
    trained_classes = (10 if compact else 1000) if is_own else None
    return ModelSpec(
        name=name if options.name is None else options.name,
        arch=arch,
        input_shape=shape,
        preprocessing=pictures_of(options, shape, compact=compact, complete=complete),
        classes=tuple(classes),
        num_classes=options.num_classes or len(classes) or trained_classes,
        task=task_of(options),
    )


def pictures_of(
    options: ModelOptions,
    shape: tuple[int, ...],
    *,
    compact: bool = False,
    complete: bool = True,
    own: Own | None = None,
) -> Preprocessing:
    """The preprocessing of pictures for an input; what is no picture is not normalised.

    Args:
        shape: of the input, without the batch.
        compact: the network is for images of 32 pixels.
        complete: the shape is the input's; otherwise it is found out later.
        own: what the network's library says.

    Raises:
        ArtifactError: as `preprocessing_of`.
    """
    mean, std = (CIFAR10_MEAN, CIFAR10_STD) if compact else (IMAGENET_MEAN, IMAGENET_STD)
    if len(shape) != 3 or shape[0] not in (1, 3):
        if complete:
            _check_no_picture(options, shape)
        return Preprocessing(
            mean=options.mean or mean, std=options.std or std, short_side=options.resize
        )
    square = shape[1] == shape[2] >= 64
    side = round(shape[1] * 256 / 224) if square and not compact else None
    defaults = Defaults(mean=mean, std=std, short_side=side, own=own, complete=complete)
    return preprocessing_of(options, shape, defaults)


def _check_no_picture(options: ModelOptions, shape: Sequence[int]) -> None:
    """Refuses options about pictures for an input that is fed with arrays alone.

    Raises:
        ArtifactError: names the first; a mean, a std and a short side say nothing, as ever.
    """
    old = ("mean", "std", "resize")
    given = [key for key in PICTURE_OPTIONS if key not in old and getattr(options, key) is not None]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise ArtifactError(
            f"the input is {_words(shape)}, no picture of 1 or 3 channels, and {option} is for"
            " pictures",
            hint=f"leave {option} out: such an input is fed with arrays as they are",
        )


def task_of(options: ModelOptions) -> TaskSpec | None:
    """What a user says that a model is for; None where nothing is said.

    Raises:
        ArtifactError: a decoder for another task or given twice, or arguments without a task.
    """
    arguments = dict(options.task_args or {})
    task = options.task
    if options.decode is not None:
        if (
            task not in (None, _DETECTION)
            or arguments.get("decode", options.decode) != options.decode
        ):
            found = f"task {task}" if task not in (None, _DETECTION) else "another in --task-args"
            raise ArtifactError(
                f"--decode {options.decode} is for the task {_DETECTION}, and there is {found}",
                hint=f"--task {_DETECTION} --decode {options.decode}",
            )
        task, arguments["decode"] = _DETECTION, options.decode
    if task is None and arguments:
        raise ArtifactError(
            f"--task-args has {', '.join(arguments)}, and no task is said that takes them",
            hint="say it: --task TASK",
        )
    return None if task is None else TaskSpec(kind=task, arguments=arguments)


def _shape_of(options: ModelOptions, size: int) -> tuple[int, ...]:
    """The input's shape by the options: a square of `size` where they have none.

    Raises:
        ArtifactError: two options that contradict each other, or a sample of more than 1 GB.
    """
    shape = options.input_shape
    if shape is None:
        side = options.input_size or size
        return (options.channels or 3, side, side)
    check_size("--input-shape", shape)
    for option, asked, found in (
        ("--channels", options.channels, shape[:1]),
        ("--input-size", options.input_size, shape[1:]),
    ):
        if asked is not None and any(value != asked for value in found):
            raise ArtifactError(
                f"--input-shape {_words(shape)} and {option} {asked} contradict each other",
                hint=f"leave {option} out",
            )
    return shape


def check_size(option: str, shape: Sequence[int]) -> None:
    """Raises ArtifactError for a sample that no machine is to be asked for."""
    if math.prod(shape) > MOST_VALUES:
        raise ArtifactError(
            f"{option} {_words(shape)} is {math.prod(shape) * 4 / 1e9:,.0f} GB a sample; up to"
            f" {MOST_VALUES * 4 / 1e9:g} GB is supported",
            hint="give the size of a real input, without the batch",
        )


def _words(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
