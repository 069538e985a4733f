"""Which models exist, what they want as input, and how checkpoints and users' own models are loaded.

Owns `ModelSpec` (one record of model and preprocessing for every stage) and strict loading. Knows nothing of export.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
import pickle
import re
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")
# Where training frameworks put the weights inside a checkpoint. EMA first: it is what they evaluate (timm's rule).
_WRAPPERS = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "state_dict", "model_state_dict", "model")
# torch.compile, DataParallel, EMA wrappers, in any order: DataParallel of a compiled module has two
_PREFIXES = re.compile(r"^(?:(?:_orig_mod|module|ema)\.)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model and its preprocessing.

    Pixels are divided by 255, then normalised by `mean` and `std` (one value per channel). `resize` is the short side
    before the centre crop to `input_size`; None means straight to `input_size`. `classes` may be empty: then outputs
    are numbered. `dataset` names the bundled data the model belongs to.
    """

    name: str
    arch: str
    channels: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    classes: tuple[str, ...] = ()
    num_classes: int | None = None
    dataset: str | None = None
    weights: str | None = None


FASHION_MNIST = ModelSpec(
    name="scnet20-fashion-mnist", arch="scnet20", channels=1, input_size=28, mean=(0.286,), std=(0.353,),
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    num_classes=10, dataset="fashion-mnist", weights="scnet20_fashion_mnist.safetensors",
)  # fmt: skip
CIFAR10 = ModelSpec(
    name="scnet20-cifar10", arch="scnet20", channels=3, input_size=32, mean=(0.4914, 0.4822, 0.4465),
    std=(0.247, 0.2435, 0.2616), num_classes=10, weights="scnet20_cifar10.safetensors",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)  # fmt: skip
_WEIGHTS = Path(__file__).parent / "weights"
# Only models whose weights are really here: a name that fails on use would be a promise broken.
MODELS = {spec.name: spec for spec in (FASHION_MNIST, CIFAR10) if (_WEIGHTS / str(spec.weights)).is_file()}
DEFAULT_MODEL = FASHION_MNIST.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What the user says of a model that the zoo does not know. None: the architecture's own value."""

    arch: str | None = None
    num_classes: int | None = None
    channels: int | None = None
    input_size: int | None = None
    resize: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model as asked for: where its weights are, and its spec. Loading it is `load_torch`, or export.import_onnx."""

    spec: ModelSpec
    kind: str  # "checkpoint", "onnx" or "factory"
    location: str


def reference_spec(arch: str, dataset: str) -> ModelSpec:
    """The spec of a reference model of the training recipe, trained or not."""
    base = {"fashion-mnist": FASHION_MNIST, "cifar10": CIFAR10}[dataset]
    return replace(base, arch=arch, name=f"{arch}-{dataset}")


def create(spec: ModelSpec) -> nn.Module:
    """The network of a spec, untrained."""
    require("torch", extra="export")
    from edge_scnet.scnet import ARCHITECTURES

    return ARCHITECTURES[spec.arch](spec.num_classes or 1000, spec.channels)


def resolve(model: str, options: ModelOptions) -> ModelSource:
    """Finds what a MODEL argument means: a zoo name, a checkpoint (.pth, .pt, .safetensors), an .onnx, or module:factory.

    Raises:
        ArtifactError: unknown name (nearest spelling), missing file, a checkpoint without `--arch`, an unsafe name.
    """
    if model in MODELS:
        spec = MODELS[model]
        if given := _given(options):
            raise ArtifactError(
                f"{given[0]} cannot be changed: {model!r} is a model of the zoo with settings of its own",
                hint=f"leave it out: edge-scnet build {model}",
            )
        return ModelSource(spec=_checked(spec), kind="checkpoint", location=str(_WEIGHTS / str(spec.weights)))
    path = Path(model)
    suffix = path.suffix.lower()
    if suffix == ".onnx" or suffix in CHECKPOINT_SUFFIXES:
        if not path.is_file():
            raise ArtifactError(f"no such file: {model}", hint=f"ls {path.parent}")
        if suffix == ".onnx":
            return ModelSource(spec=_checked(_spec("onnx", path.stem, options)), kind="onnx", location=str(path))
        if options.arch is None:
            raise ArtifactError(
                f"{model}: which architecture is it? A checkpoint holds weights only",
                hint=f"pass --arch, one of: {', '.join(_architectures())}",
            )
        return ModelSource(spec=_checked(_spec(options.arch, path.stem, options)), kind="checkpoint", location=str(path))
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", model):
        name = model.partition(":")[2]
        return ModelSource(spec=_checked(_spec("factory", name, options)), kind="factory", location=model)
    if model in _architectures():
        raise ArtifactError(
            f"{model} is an architecture, and has no weights of its own",
            hint=f"edge-scnet build WEIGHTS.pth --arch {model} --calib DIR --eval DIR",
        )
    near = difflib.get_close_matches(model, MODELS, n=1)
    raise ArtifactError(
        f"unknown model {model!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint=f"a zoo name ({', '.join(MODELS)}), a .pth, .pt, .safetensors or .onnx file, or package.module:factory",
    )


def _architectures() -> list[str]:
    require("torch", extra="export")
    from edge_scnet.scnet import ARCHITECTURES

    return list(ARCHITECTURES)


def _given(options: ModelOptions) -> list[str]:
    names = ("arch", "num_classes", "channels", "input_size", "resize", "mean", "std", "class_names", "name")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def _spec(arch: str, name: str, options: ModelOptions) -> ModelSpec:
    compact = arch in ("scnet20", "scnet29")
    if arch not in ("onnx", "factory"):
        known = _architectures()
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
    # an ONNX file says itself how many channels and pixels it wants: `probe_onnx` comes back here with both
    unknown = arch == "onnx" and (options.channels is None or options.input_size is None)
    for option, values in (("--mean", mean), ("--std", std)):
        if len(values) != channels and not unknown:
            given = options.mean if option == "--mean" else options.std
            found = f"{option} has {len(values)} values" if given else f"{option} has no default for such images"
            raise ArtifactError(
                f"the input has {channels} channel{'s' * (channels > 1)}, and {found}",
                hint=f"pass --mean and --std with {channels} value{'s' * (channels > 1)} each, of pixels from 0 to 1",
            )
    if not all(0 < value < float("inf") for value in std):
        raise ArtifactError(f"--std must be positive and finite, got {', '.join(map(str, std))}")
    if not all(abs(value) < float("inf") for value in mean):
        raise ArtifactError(f"--mean must be finite, got {', '.join(map(str, mean))}")
    classes = options.class_names or ()
    if classes and options.num_classes and len(classes) != options.num_classes:
        raise ArtifactError(f"--class-names lists {len(classes)} names, --num-classes says {options.num_classes}")
    num_classes = (
        options.num_classes or len(classes) or ({True: 10, False: 1000}[compact] if arch not in ("onnx", "factory") else None)
    )
    resize = (
        options.resize
        if options.resize is not None
        else (None if compact or input_size < 64 else round(input_size * 256 / 224))
    )
    if resize is not None and resize < input_size and not unknown:
        raise ArtifactError(f"--resize {resize} is smaller than the crop, --input-size {input_size}")
    return ModelSpec(
        name=name if options.name is None else options.name, arch=arch, channels=channels, input_size=input_size,
        mean=mean, std=std, resize=resize, classes=tuple(classes), num_classes=num_classes,
    )  # fmt: skip


def _checked(spec: ModelSpec) -> ModelSpec:
    # the name becomes a folder: nothing that could leave the output folder or hide in it
    if not _NAME.fullmatch(spec.name) or ".." in spec.name:
        raise ArtifactError(
            f"the model name {spec.name!r} cannot be a folder name; allowed: letters, digits, '.', '_', '-', no '..'",
            hint="pass --name NAME",
        )
    return spec


def load_torch(source: ModelSource) -> nn.Module:
    """The PyTorch module of a checkpoint or a factory, in eval mode, weights checked to be finite.

    Raises:
        ArtifactError: a checkpoint that does not fit, holds NaN, or is no state dict; a factory that cannot be called.
    """
    torch = require("torch", extra="export")
    if source.kind == "factory":
        module = _call_factory(source.location)
        state = module.state_dict()
    else:
        module = create(source.spec)
        path = Path(source.location)
        if path.parent == _WEIGHTS:
            _check_card(path)
        state = read_checkpoint(path)
        load_strictly(module, state, source=source)
    for key, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ArtifactError(
                f"{source.location}: {key!r} holds {bad} NaN or infinite values of {tensor.numel()}",
                hint="the checkpoint is damaged or its training diverged: use an earlier one",
            )
    return module.eval()


def _check_card(path: Path) -> None:
    """Raises ArtifactError when bundled weights are not those that their card describes."""
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ArtifactError(
            f"{path} is not what its card says: sha256 {found[:12]}..., expected {expected[:12]}...",
            hint="install the package again: the file was changed or cut short",
        )


def state_hash(module: nn.Module) -> str:
    """Hex sha256 of a module's weights and structure: what a factory made, which no file's hash can tell."""
    torch = require("torch", extra="export")
    digest = hashlib.sha256(repr(module).encode())
    for key, tensor in module.state_dict().items():
        digest.update(key.encode())
        # as bytes: NumPy has no bfloat16
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _call_factory(location: str) -> nn.Module:
    torch = require("torch", extra="export")
    module_name, _, attribute = location.partition(":")
    # a console script does not have the working directory on sys.path, and that is where the user's module is
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
        module = factory()
    except Exception as error:
        raise ArtifactError(
            f"{location} cannot be called: {type(error).__name__}: {error}",
            hint="it is called without arguments and must return a torch.nn.Module; is it on PYTHONPATH?",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ArtifactError(
            f"{location} returned {type(module).__name__}, a torch.nn.Module is needed",
            hint="the factory is called without arguments and returns the model itself",
        )
    return cast("nn.Module", module)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint file, unwrapped: `state_dict`, `model` and EMA wrappers, `module.` prefixes.

    A checkpoint that holds both plain weights and their moving average (EMA) gives the average, as timm does: it is what
    training frameworks evaluate and publish.

    Raises:
        ArtifactError: unreadable, not a state dict, or a pickle that would run code (`weights_only=True` refuses it).
    """
    torch = require("torch", extra="export")
    try:
        if path.suffix.lower() == ".safetensors":
            loaded: Any = require("safetensors.torch", extra="export").load_file(path)
        else:
            with warnings.catch_warnings():
                # of pickle protocols that torch reads all the same; what it cannot read, it raises
                warnings.simplefilter("ignore")
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ArtifactError(
            f"{path} is not a checkpoint of plain weights: {_why_unreadable(error)}",
            hint="save it with torch.save(model.state_dict(), path), or copy it again if it was cut short",
        ) from error
    for _ in range(3):
        key = next((k for k in _WRAPPERS if isinstance(loaded, dict) and isinstance(loaded.get(k), dict)), None)
        if key is None:
            break
        loaded = loaded[key]
    tensors = isinstance(loaded, dict) and {k: v for k, v in loaded.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        found = ", ".join(map(str, list(loaded)[:5])) if isinstance(loaded, dict) else type(loaded).__name__
        raise ArtifactError(
            f"{path} is not a state dict: found {found or 'nothing'}",
            hint="save it with torch.save(model.state_dict(), path)",
        )
    state: dict[str, Tensor] = {}
    for key, value in tensors.items():
        plain = _PREFIXES.sub("", str(key))
        if plain in state:
            raise ArtifactError(f"{path} holds {plain!r} twice, with and without a prefix ({key!r})", hint="save one of them")
        if plain != "n_averaged":  # the counter of torch.optim.swa_utils.AveragedModel
            state[plain] = value
    return state


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        # torch's own words advise weights_only=False, which would run the file's code
        found = re.search(r"(?:GLOBAL|global|class) ([\w.]+\.\w+)", str(error))
        return f"it holds pickled objects{f' ({found[1]})' if found else ''}; only tensors are read, objects could run code"
    first = (str(error).strip().splitlines() or [""])[0].partition(" This is an internal")[0]
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__


def load_strictly(module: nn.Module, state: dict[str, Tensor], *, source: ModelSource) -> None:
    """Loads `state`, all of it and nothing else; `num_batches_tracked`, absent from old checkpoints, is not needed.

    Raises:
        ArtifactError: lists missing, unexpected and wrongly shaped keys, and says which option to pass.
    """
    own = module.state_dict()
    needed = {key for key in own if not key.endswith("num_batches_tracked")}
    missing = sorted(needed - state.keys())
    unexpected = sorted(key for key in state.keys() - own.keys() if not key.endswith("num_batches_tracked"))
    shapes = [
        f"{key}: {tuple(state[key].shape)}, {source.spec.arch} has {tuple(own[key].shape)}"
        for key in sorted(needed & state.keys())
        if state[key].shape != own[key].shape
    ]
    if not (missing or unexpected or shapes):
        module.load_state_dict(state, strict=False)  # strict but for num_batches_tracked, as checked above
        return
    parts = [
        f"{len(keys)} {title}: {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        for title, keys in (("missing", missing), ("unexpected", unexpected), ("wrongly shaped", shapes))
        if keys
    ]
    options = []
    if not (missing or unexpected):
        stem = "conv1.weight" if "conv1.weight" in own else "conv1.0.weight"
        classes, channels = state["fc.weight"].shape[0], state[stem].shape[1]
        if classes != own["fc.weight"].shape[0]:
            options.append(f"{classes} classes: pass --num-classes {classes}")
        if channels != own[stem].shape[1]:
            options.append(f"{channels} input channels: pass --channels {channels}")
    explained = {"fc.weight", "fc.bias", "conv1.weight", "conv1.0.weight"}
    if options and all(shape.partition(":")[0] in explained for shape in shapes):
        hint = "the checkpoint has " + ", and ".join(options)
    else:
        hint = f"another --arch? known: {', '.join(_architectures())}"
    raise ArtifactError(f"{source.location} does not fit {source.spec.arch}: " + "; ".join(parts), hint=hint)
