"""The models with bundled weights, and what a MODEL argument means."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.foreign import file_fault
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.models.architectures import architectures
from edge_scnet.models.defaults import CIFAR10_MEAN, CIFAR10_STD, FACTORY, ONNX_FILE, spec_of
from edge_scnet.models.factory import is_factory, parse_factory
from edge_scnet.models.foreign import FACTORY_HINT, content_of
from edge_scnet.models.library import is_library_model, library_name

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What a bundled model says of its pictures, and whose word that is.
_OWN, _OF_THE_ZOO = ("colour", "mean", "std", "short_side"), "the model's own"

FASHION_MNIST = ModelSpec(
    name="scnet20-fashion-mnist",
    arch="scnet20",
    input_shape=(1, 28, 28),
    preprocessing=Preprocessing(
        colour="grey", mean=(0.286,), std=(0.353,), origins=dict.fromkeys(_OWN, _OF_THE_ZOO)
    ),
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
    input_shape=(3, 32, 32),
    preprocessing=Preprocessing(
        mean=CIFAR10_MEAN, std=CIFAR10_STD, origins=dict.fromkeys(_OWN, _OF_THE_ZOO)
    ),
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
    """A model as asked for: where its weights are, and its spec.

    It is loaded by `models.load.load`, or by `export.from_onnx.import_onnx`.
    """

    spec: ModelSpec
    kind: Literal["checkpoint", "onnx", "factory", "library", "module"]
    # a file, "module:factory", "timm:NAME", or the class of the caller's module
    location: str
    # as the user gave them
    options: ModelOptions = field(default_factory=ModelOptions)
    # the caller's torch.nn.Module; of a factory and a library the one that was loaded
    module: Any = field(default=None, repr=False, compare=False)
    # what was done to the module, in words
    notes: tuple[str, ...] = ()
    # what is doubtful
    warnings: tuple[str, ...] = ()


def reference_spec(arch: str, dataset: str) -> ModelSpec:
    """Returns the spec of a reference model of the training recipe, trained or not."""
    base = {"fashion-mnist": FASHION_MNIST, "cifar10": CIFAR10}[dataset]
    return replace(base, arch=arch, name=f"{arch}-{dataset}")


def resolve(model: str, options: ModelOptions) -> ModelSource:
    """Finds what a MODEL argument means.

    Args:
        model: a name of the zoo, a checkpoint (.pth, .pt, .safetensors), an .onnx file,
            module:factory, or timm:NAME or torchvision:NAME.

    Raises:
        ArtifactError: unknown name (nearest spelling), missing file, a checkpoint without `--arch`,
            an unsafe name.
    """
    if model in MODELS:
        return _bundled(MODELS[model], options)
    if is_library_model(model):
        return _named(library_name(model), "library", model, options)
    _refuse_weights(model, options)
    if is_factory(model):
        return _named(parse_factory(model).attribute.rpartition(".")[2], "factory", model, options)
    if options.factory_args is not None:
        raise ArtifactError(
            f"--factory-args is for package.module:factory, timm:NAME and torchvision:NAME; MODEL"
            f" is {model}",
            hint="leave it out",
        )
    if Path(model).suffix.lower() in (".onnx", *CHECKPOINT_SUFFIXES):
        return _file(model, options)
    if model in architectures():
        raise ArtifactError(
            f"{model} is an architecture, and has no weights of its own",
            hint=f"edge-scnet build WEIGHTS.pth --arch {model} --calib DIR --eval DIR",
        )
    near = difflib.get_close_matches(model, MODELS, n=1)
    raise ArtifactError(
        f"unknown model {model!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=(
            f"a zoo name ({', '.join(MODELS)}), a .pth, .pt, .safetensors or .onnx file,"
            " package.module:factory, timm:NAME or torchvision:NAME"
        ),
    )


def resolve_module(module: Any, options: ModelOptions) -> ModelSource:
    """The source of a torch.nn.Module that the caller holds; it is named after its class.

    Raises:
        ArtifactError: options that contradict each other, or are for other models.
    """
    name = _class_of(module)
    for option in ("arch", "weights", "factory_args"):
        if getattr(options, option) is not None:
            raise ArtifactError(
                f"{_spelled(option)} is not for a module that is made already",
                hint="leave it out",
            )
    return replace(_named(name, "module", name, options), module=module)


def _class_of(module: Any) -> str:
    """The name of a module's class, out of torch.compile and DataParallel."""
    while True:
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif type(module).__name__ in ("DataParallel", "DistributedDataParallel"):
            module = module.module
        else:
            return type(module).__name__


def _named(
    name: str, kind: Literal["factory", "library", "module"], location: str, options: ModelOptions
) -> ModelSource:
    if options.arch is not None:
        raise ArtifactError(
            f"--arch is for checkpoints of our own networks; MODEL is {location}",
            hint="leave it out",
        )
    spec = spec_of(FACTORY, name, options)
    return ModelSource(spec=_with_safe_name(spec), kind=kind, location=location, options=options)


def _refuse_weights(model: str, options: ModelOptions) -> None:
    if options.weights is not None:
        raise ArtifactError(
            f"--weights is for timm:NAME and torchvision:NAME; MODEL is {model}",
            hint="a checkpoint is MODEL itself: edge-scnet build FILE --arch NAME",
        )


def _bundled(spec: ModelSpec, options: ModelOptions) -> ModelSource:
    # what engines take is no setting of the model
    if spelled := _set_options(replace(options, input_type=None)):
        raise ArtifactError(
            f"{spelled[0]} cannot be changed: {spec.name!r} is a model of the zoo with settings of"
            " its own",
            hint=f"leave it out: edge-scnet build {spec.name}",
        )
    return ModelSource(spec=spec, kind="checkpoint", location=str(WEIGHTS / str(spec.weights)))


def _file(model: str, options: ModelOptions) -> ModelSource:
    path = Path(model)
    if fault := file_fault(path):
        raise ArtifactError(f"{fault}: {model}", hint=f"ls {path.parent}")
    if path.suffix.lower() == ".onnx":
        spec = spec_of(ONNX_FILE, path.stem, options)
        return ModelSource(
            spec=_with_safe_name(spec), kind="onnx", location=str(path), options=options
        )
    content = content_of(path)
    if content != "weights":
        raise ArtifactError(
            f"{model} is {content}, which is not read: it is code as well as weights",
            hint=FACTORY_HINT.format(path=model),
        )
    if options.arch is None:
        raise ArtifactError(
            f"{model}: which architecture is it? A checkpoint holds weights only",
            hint=(
                f"pass --arch, one of: {', '.join(architectures())}; or"
                f" {FACTORY_HINT.format(path=model)}"
            ),
        )
    spec = spec_of(options.arch, path.stem, options)
    return ModelSource(
        spec=_with_safe_name(spec), kind="checkpoint", location=str(path), options=options
    )


def _set_options(options: ModelOptions) -> list[str]:
    """The options that are set, as the command line spells them."""
    return [
        _spelled(option.name)
        for option in fields(options)
        if getattr(options, option.name) is not None
    ]


def _spelled(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _with_safe_name(spec: ModelSpec) -> ModelSpec:
    """The spec itself; raises ArtifactError where its name cannot become a folder's.

    Nothing may leave the output folder or hide in it.
    """
    if not _NAME.fullmatch(spec.name) or ".." in spec.name:
        raise ArtifactError(
            f"the model name {spec.name!r} cannot be a folder name; allowed: letters, digits, '.',"
            " '_', '-', no '..'",
            hint="pass --name NAME",
        )
    return spec
