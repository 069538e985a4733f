"""Networks of timm and torchvision by their usual names: "timm:NAME", "torchvision:NAME".

Both packages are optional. Nothing is downloaded unless the user asks for the library's own
weights (`--weights default`); a file of weights is read as a checkpoint is.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.foreign import file_fault
from edge_scnet.core.optional import require
from edge_scnet.core.user_code import user_code
from edge_scnet.errors import ArtifactError
from edge_scnet.models.checkpoint import load_strictly, read_checkpoint
from edge_scnet.models.factory import arguments_of, joined
from edge_scnet.models.ready import Ready, check_known, imported, of_timm, of_torchvision

if TYPE_CHECKING:
    from torch import nn

LIBRARIES = ("timm", "torchvision")
_NAME = re.compile(r"(timm|torchvision):([A-Za-z0-9][\w.\-]*)(?:\?(.*))?", re.DOTALL)
# What --weights says for the weights that the library itself recommends.
_OWN_WEIGHTS = ("default", "pretrained")
_FILES = (".pth", ".pt", ".safetensors", ".bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryModel:
    """A network of a library, with its weights."""

    module: nn.Module
    pictures: Ready


def is_library_model(model: str) -> bool:
    """Whether a MODEL argument names a network of a library."""
    return model.partition(":")[0] in LIBRARIES and ":" in model


def library_name(model: str) -> str:
    """Returns the network's name in a MODEL argument.

    Raises:
        ArtifactError: it has another form than "timm:NAME?ARGUMENT=VALUE".
    """
    match = _NAME.fullmatch(model)
    if match is None:
        raise ArtifactError(
            f"{model}: after timm: or torchvision: the name of a network is wanted",
            hint="as in timm:mobilenetv3_small_100 or torchvision:resnet18",
        )
    return match[2]


def load_library_model(model: str, options: ModelOptions) -> LibraryModel:
    """Makes a network of timm or torchvision and loads its weights.

    Args:
        model: "timm:NAME" or "torchvision:NAME", arguments behind a "?" where it takes any.

    Raises:
        MissingRuntimeError: the library is not installed, or does not fit this torch.
        ArtifactError: no such network; no weights named, or they do not fit.
    """
    name, match = library_name(model), _NAME.fullmatch(model)
    assert match is not None
    arguments = joined(arguments_of(match[3], model), options.factory_args)
    if options.num_classes is not None:
        arguments.setdefault("num_classes", options.num_classes)
    if options.weights is None:
        raise ArtifactError(
            f"{model} has no weights yet: edge-scnet downloads nothing by itself",
            hint=(
                f"--weights FILE (a state dict), or --weights default: {match[1]} then downloads"
                " its own"
            ),
        )
    library = imported(match[1])
    if match[1] == "timm":
        return _of_timm(library, name, options, arguments)
    return _of_torchvision(library, name, options, arguments)


def _of_timm(
    timm: ModuleType, name: str, options: ModelOptions, arguments: dict[str, Any]
) -> LibraryModel:
    with user_code(f"timm has no network {name!r}", hint="python -c 'import timm; print(timm)'"):
        names = timm.list_models(include_tags=False)
    check_known("timm", name.partition(".")[0], names)
    if (channels := _channels(options)[1]) is not None:
        arguments.setdefault("in_chans", channels)
    file = _weights_file(options)
    _check_own_weights("timm", name, options, ())
    with _making("timm", name, downloads=file is None):
        module = timm.create_model(name, pretrained=file is None, **arguments)
    _load_file(module, file, name)
    require("timm.data", extra="zoo")
    config = timm.data.resolve_model_data_config(module)
    return LibraryModel(module=module, pictures=of_timm(config))


def _of_torchvision(
    torchvision: ModuleType, name: str, options: ModelOptions, arguments: dict[str, Any]
) -> LibraryModel:
    models = require("torchvision.models", extra="zoo")
    check_known("torchvision", name, models.list_models())
    if name.startswith("quantized_"):
        raise ArtifactError(
            f"torchvision:{name} is quantized already",
            hint=f"pass the float network: torchvision:{name.removeprefix('quantized_')}",
        )
    option, channels = _channels(options)
    if channels not in (None, 3):
        raise ArtifactError(
            f"torchvision:{name} takes 3 channels, {option} says {channels}",
            hint=f"let {option} say 3 or leave it out, or use a factory: package.module:factory",
        )
    file, own = _weights_file(options), list(models.get_model_weights(name))
    asked = _check_own_weights("torchvision", name, options, [entry.name for entry in own])
    with _making("torchvision", name, downloads=file is None):
        entry = _entry(models.get_model_weights(name), asked, file)
        module = models.get_model(name, weights=None if file else entry, **arguments)
    _load_file(module, file, name)
    differences: tuple[str, ...] = ()
    if file is not None and entry is not None:
        if hasattr(module, "transform_input"):
            # torchvision sets it with weights of its own, which were trained so
            module.transform_input = True
        if not _is_file_of(file, entry):
            differences = (
                f"{file.name} is no file of torchvision's: preprocessing of {entry.name} is taken",
            )
    return LibraryModel(module=module, pictures=of_torchvision(entry, differences))


def _channels(options: ModelOptions) -> tuple[str, int | None]:
    """The number of channels that an option asks for, and the option; None: none does."""
    if options.input_shape is not None and len(options.input_shape) == 3:
        return "--input-shape", options.input_shape[0]
    return "--channels", options.channels


def _entry(own: Any, asked: str | None, file: Path | None) -> Any:
    """The weights of torchvision that are meant: by their name, by the file's, or the default."""
    entries = list(own)
    if not entries:
        return None
    named = [entry for entry in entries if entry.name == asked or _is_file_of(file, entry)]
    return named[0] if named else own.DEFAULT


def _is_file_of(file: Path | None, entry: Any) -> bool:
    return file is not None and str(entry.url).endswith(f"/{file.name}")


def _weights_file(options: ModelOptions) -> Path | None:
    """The file that --weights names; None where it names weights of the library's own.

    Raises:
        ArtifactError: no such file.
    """
    path = Path(str(options.weights))
    looks_like_file = path.suffix.lower() in _FILES or len(path.parts) > 1
    fault = file_fault(path)
    if fault and looks_like_file:
        raise ArtifactError(f"{fault}: --weights {path}", hint=f"ls {path.parent}")
    return None if fault else path


def _check_own_weights(
    library: str, name: str, options: ModelOptions, entries: Iterable[str]
) -> str | None:
    """The name of the library's own weights that --weights asks for; None: the default, or a file.

    Raises:
        ArtifactError: there are none of that name.
    """
    asked, known = str(options.weights), list(entries)
    if _weights_file(options) is not None or asked.lower() in _OWN_WEIGHTS:
        return None
    if asked in known:
        return asked
    raise ArtifactError(
        f"--weights {asked}: no such file, and {library}:{name} has no weights of that name",
        hint=f"--weights is a file, or one of: {', '.join([_OWN_WEIGHTS[0], *known])}",
    )


@contextlib.contextmanager
def _making(library: str, name: str, *, downloads: bool) -> Iterator[None]:
    """Errors of a library while it makes a network, and downloads its weights where asked to."""
    hint = "its arguments stand behind the name: ?drop_rate=0.1, or in --factory-args"
    if downloads:
        hint = f"{library} downloads them itself; without a network: --weights FILE"
    failed = "get the weights of" if downloads else "make"
    with user_code(f"{library} cannot {failed} {name}", hint=hint), warnings.catch_warnings():
        # of what will be otherwise in later versions
        warnings.simplefilter("ignore")
        yield


def _load_file(module: nn.Module, file: Path | None, name: str) -> None:
    if file is not None:
        load_strictly(
            module,
            read_checkpoint(file),
            arch=name,
            location=str(file),
            otherwise=f"the file is of another network than {name}, or it has other arguments",
        )
