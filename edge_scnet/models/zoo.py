"""Which models exist, what they want as input, and how checkpoints and users' own models are
loaded.

Owns `ModelSpec` (one record of model and preprocessing for every stage) and strict loading. Knows
nothing of export.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.optional import require
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError

if TYPE_CHECKING:
    pass

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")


FASHION_MNIST = ModelSpec(
    name="scnet20-fashion-mnist",
    arch="scnet20",
    channels=1,
    input_size=28,
    mean=(0.286,),
    std=(0.353,),
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    num_classes=10,
    dataset="fashion-mnist",
    weights="scnet20_fashion_mnist.safetensors",
)
CIFAR10 = ModelSpec(
    name="scnet20-cifar10",
    arch="scnet20",
    channels=3,
    input_size=32,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.247, 0.2435, 0.2616),
    num_classes=10,
    weights="scnet20_cifar10.safetensors",
    classes=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
)
WEIGHTS = Path(__file__).parent / "weights"
# Only models whose weights are really here: a name that fails on use would be a promise broken.
MODELS = {
    spec.name: spec for spec in (FASHION_MNIST, CIFAR10) if (WEIGHTS / str(spec.weights)).is_file()
}
DEFAULT_MODEL = FASHION_MNIST.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model as asked for: where its weights are, and its spec. Loading it is `load_torch`, or
    export.import_onnx.
    """

    spec: ModelSpec
    kind: str  # "checkpoint", "onnx" or "factory"
    location: str


def reference_spec(arch: str, dataset: str) -> ModelSpec:
    """The spec of a reference model of the training recipe, trained or not."""
    base = {"fashion-mnist": FASHION_MNIST, "cifar10": CIFAR10}[dataset]
    return replace(base, arch=arch, name=f"{arch}-{dataset}")


def resolve(model: str, options: ModelOptions) -> ModelSource:
    """Finds what a MODEL argument means: a zoo name, a checkpoint (.pth, .pt, .safetensors), an
    .onnx, or module:factory.

    Raises:
        ArtifactError: unknown name (nearest spelling), missing file, a checkpoint without `--arch`,
            an unsafe name.
    """
    if model in MODELS:
        spec = MODELS[model]
        if given := _given(options):
            raise ArtifactError(
                f"{given[0]} cannot be changed: {model!r} is a model of the zoo with settings of"
                " its own",
                hint=f"leave it out: edge-scnet build {model}",
            )
        return ModelSource(
            spec=_checked(spec), kind="checkpoint", location=str(WEIGHTS / str(spec.weights))
        )
    path = Path(model)
    suffix = path.suffix.lower()
    if suffix == ".onnx" or suffix in CHECKPOINT_SUFFIXES:
        if not path.is_file():
            raise ArtifactError(f"no such file: {model}", hint=f"ls {path.parent}")
        if suffix == ".onnx":
            return ModelSource(
                spec=_checked(_spec("onnx", path.stem, options)), kind="onnx", location=str(path)
            )
        if options.arch is None:
            raise ArtifactError(
                f"{model}: which architecture is it? A checkpoint holds weights only",
                hint=f"pass --arch, one of: {', '.join(architectures())}",
            )
        return ModelSource(
            spec=_checked(_spec(options.arch, path.stem, options)),
            kind="checkpoint",
            location=str(path),
        )
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", model):
        name = model.partition(":")[2]
        return ModelSource(
            spec=_checked(_spec("factory", name, options)), kind="factory", location=model
        )
    if model in architectures():
        raise ArtifactError(
            f"{model} is an architecture, and has no weights of its own",
            hint=f"edge-scnet build WEIGHTS.pth --arch {model} --calib DIR --eval DIR",
        )
    near = difflib.get_close_matches(model, MODELS, n=1)
    raise ArtifactError(
        f"unknown model {model!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=(
            f"a zoo name ({', '.join(MODELS)}), a .pth, .pt, .safetensors or .onnx file, or"
            " package.module:factory"
        ),
    )


def architectures() -> list[str]:
    require("torch", extra="export")
    from edge_scnet.scnet import ARCHITECTURES

    return list(ARCHITECTURES)


def _given(options: ModelOptions) -> list[str]:
    """The options that are set, as the command line spells them."""
    return [
        f"--{option.name.replace('_', '-')}"
        for option in fields(options)
        if getattr(options, option.name) is not None
    ]


def _spec(arch: str, name: str, options: ModelOptions) -> ModelSpec:
    compact = arch in ("scnet20", "scnet29")
    if arch not in ("onnx", "factory"):
        known = architectures()
        if arch not in known:
            near = difflib.get_close_matches(arch, known, n=1)
            raise ArtifactError(
                f"unknown architecture {arch!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                hint=f"--arch is one of: {', '.join(known)}",
            )
    channels = options.channels or 3
    input_size = options.input_size or (32 if compact else 224)
    mean = options.mean or (CIFAR10.mean if compact else IMAGENET_MEAN)
    std = options.std or (CIFAR10.std if compact else IMAGENET_STD)
    # an ONNX file says itself how many channels and pixels it wants: `probe_onnx` comes back here
    # with both
    unknown = arch == "onnx" and (options.channels is None or options.input_size is None)
    for option, values in (("--mean", mean), ("--std", std)):
        if len(values) != channels and not unknown:
            given = options.mean if option == "--mean" else options.std
            found = (
                f"{option} has {len(values)} values"
                if given
                else f"{option} has no default for such images"
            )
            raise ArtifactError(
                f"the input has {channels} channel{'s' * (channels > 1)}, and {found}",
                hint=(
                    f"pass --mean and --std with {channels} value{'s' * (channels > 1)} each, of"
                    " pixels from 0 to 1"
                ),
            )
    if not all(0 < value < float("inf") for value in std):
        raise ArtifactError(f"--std must be positive and finite, got {', '.join(map(str, std))}")
    if not all(abs(value) < float("inf") for value in mean):
        raise ArtifactError(f"--mean must be finite, got {', '.join(map(str, mean))}")
    classes = options.class_names or ()
    if classes and options.num_classes and len(classes) != options.num_classes:
        raise ArtifactError(
            f"--class-names lists {len(classes)} names, --num-classes says {options.num_classes}"
        )
    num_classes = (
        options.num_classes
        or len(classes)
        or ({True: 10, False: 1000}[compact] if arch not in ("onnx", "factory") else None)
    )
    resize = (
        options.resize
        if options.resize is not None
        else (None if compact or input_size < 64 else round(input_size * 256 / 224))
    )
    if resize is not None and resize < input_size and not unknown:
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
        num_classes=num_classes,
    )


def _checked(spec: ModelSpec) -> ModelSpec:
    # the name becomes a folder: nothing that could leave the output folder or hide in it
    if not _NAME.fullmatch(spec.name) or ".." in spec.name:
        raise ArtifactError(
            f"the model name {spec.name!r} cannot be a folder name; allowed: letters, digits, '.',"
            " '_', '-', no '..'",
            hint="pass --name NAME",
        )
    return spec
