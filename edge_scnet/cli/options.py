"""The options that commands share: type, help and parsing of each."""

from __future__ import annotations

import functools
import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from edge_scnet.cli import option_values
from edge_scnet.cli.command_help import ACCURACY, MODEL, PICTURES, SAMPLES, TASK, VERDICT
from edge_scnet.config.model_options import PICTURE_OPTIONS, ModelOptions
from edge_scnet.core.foreign import MOST_SETTINGS_BYTES, control_character, read_text, reason
from edge_scnet.errors import DataError


def expected(expect: Sequence[str] | None, top1: float | None) -> tuple[str, ...]:
    """The figures that `--expect` and `--expect-top1` say together."""
    return (*(expect or ()), *(() if top1 is None else (f"top1={top1!r}",)))


def command_line() -> str:
    """The command that this process was called with, as a shell takes it, for reports."""
    name = Path(sys.argv[0]).name
    # of `python -m edge_scnet`
    return shlex.join(["edge-scnet" if name == "__main__.py" else name, *sys.argv[1:]])


def _complete_target(incomplete: str) -> list[str]:
    from edge_scnet.config.target import list_targets

    return [target.name for target in list_targets() if target.name.startswith(incomplete)]


def _complete_model(incomplete: str) -> list[str]:
    from edge_scnet.models.zoo import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help=(
            "A zoo name, a .pth/.pt/.safetensors (with --arch), an .onnx,"
            " package.module:factory?width=0.5, or timm:NAME or torchvision:NAME."
        ),
        autocompletion=_complete_model,
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        "-t",
        metavar="NAME|FILE",
        help="A target's name or .toml file.",
        autocompletion=_complete_target,
    ),
]
InspectTarget = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="NAME|FILE",
        help="A target's name or .toml file. Default: cpu, or a build folder's own.",
        autocompletion=_complete_target,
    ),
]
Built = Annotated[
    Path, typer.Argument(metavar="PATH", help="A build folder, or an engine or ONNX file in one.")
]
_DATA = (
    "a folder of images or arrays, a list (.csv, .jsonl), a COCO .json, a YOLO data.yaml, or"
    " package.module:samples"
)
Calib = Annotated[
    str | None,
    typer.Option(
        "--calib",
        metavar="DATA",
        rich_help_panel=SAMPLES,
        help=f"Calibration samples: {_DATA}. Default: the bundled model's.",
    ),
]
Eval = Annotated[
    str | None,
    typer.Option(
        "--eval",
        metavar="DATA",
        rich_help_panel=SAMPLES,
        help="Evaluation samples, as --calib's. Default: the bundled model's.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Parent of the build folders. Default: build."),
]
Batch = Annotated[
    Any,
    typer.Option(
        "--batch",
        parser=option_values.batch,
        metavar="N",
        help="Batch of the engine, or 'dynamic' (export only).",
    ),
]
Batches = Annotated[
    Any,
    typer.Option(
        "--batch",
        parser=option_values.counts,
        metavar="N,N,...",
        help="Time the engines at these batches too, all in turn.",
    ),
]
Threads = Annotated[
    Any,
    typer.Option(
        "--threads",
        parser=option_values.counts,
        metavar="N,N,...",
        help="The same with these numbers of threads.",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad/--no-skip-bad",
        rich_help_panel=SAMPLES,
        help="Leave out images that cannot be read, and count them.",
    ),
]
IgnoreLabels = Annotated[
    bool,
    typer.Option(
        "--ignore-labels/--no-ignore-labels",
        rich_help_panel=SAMPLES,
        help="Evaluate without labels: agreement and SQNR only.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait", help="Where another run is in the build folder, wait until it has ended."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Seconds = Annotated[
    float,
    typer.Option("--seconds", min=0.1, max=3600, metavar="S", help="Timed seconds per engine."),
]
Expect = Annotated[
    list[str] | None,
    typer.Option(
        "--expect",
        parser=option_values.expectation,
        metavar="[METRIC=]VALUE[±TOLERANCE]",
        rich_help_panel=VERDICT,
        help=(
            "FP32's own figure as you measured it, like top1=94.1 or ap50=61.2±0.5; another one is"
            " an error. Without a tolerance it is held to the 95 % interval of the samples. Can be"
            " repeated."
        ),
    ),
]
ExpectTop1 = Annotated[
    float | None,
    typer.Option(
        "--expect-top1",
        min=0,
        max=100,
        metavar="PERCENT",
        rich_help_panel=VERDICT,
        help="The same as --expect top1=PERCENT.",
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        min=0,
        max=100,
        metavar="PP",
        rich_help_panel=VERDICT,
        help=(
            "Highest loss of top-1 in percentage points. Default: the target's, 0.5 where it says"
            " nothing else."
        ),
    ),
]
Builds = Annotated[
    int,
    typer.Option(
        "--builds",
        min=1,
        max=100,
        metavar="N",
        help="Build each TensorRT plan N times, and keep the fastest that is right.",
    ),
]
RecoverMinutes = Annotated[
    float | None,
    typer.Option(
        "--recover",
        min=0.1,
        max=1_440,
        metavar="MINUTES",
        rich_help_panel=ACCURACY,
        help=(
            "Learn so long, behind the quantization, what INT8 lost against FP32: on the"
            " calibration samples, without labels. Always runs where it is given; kept is what is"
            " better on held-out ones. Needs torch."
        ),
    ),
]
Qdq = Annotated[
    Path | None,
    typer.Option(
        "--qdq",
        metavar="FILE",
        help="A Q/DQ ONNX that another quantizer made of MODEL, instead of quantizing it.",
    ),
]


def with_model_options(
    command: Callable[..., None], *, only: Sequence[str] = ()
) -> Callable[..., None]:
    """Adds the options of a model to a command, which gets them as one record, `model_options`.

    Args:
        only: those that are added; all where it is empty.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [item for name, item in signature.parameters.items() if name != "model_options"]
    added = [item for item in _model_parameters() if not only or item.name in only]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        options = {item.name: values.pop(item.name) for item in added}
        _take_input_type(options)
        for name in {"fix", "input"} & options.keys():
            options[name] = tuple(options[name]) if options[name] else None
        if options.get("class_names") is not None:
            options["class_names"] = _lines(options["class_names"])
        command(**values, model_options=ModelOptions(**options))

    wrapped.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return wrapped


def _take_input_type(options: dict[str, Any]) -> None:
    """Takes "uint8" and "float" out of `--input NAME=SIZES`, in place: they are an `--input-type`.

    Raises:
        BadParameter: the two say different things.
    """
    inputs = options.get("input") or []
    types = [word for word in inputs if word in ("uint8", "float")]
    if not types:
        return
    said = dict.fromkeys([*types, *filter(None, [options.get("input_type")])])
    if len(said) > 1:
        raise typer.BadParameter(f"--input says {' and '.join(said)}: engines take one of them")
    options["input"] = [word for word in inputs if word not in types]
    options["input_type"] = types[0]


# of an engine that no manifest describes: the sizes it leaves open, how pictures are fed, classes
ENGINE_OPTIONS = (
    "input_shape",
    *PICTURE_OPTIONS,
    "num_classes",
    "class_names",
    "task",
    "task_args",
    "decode",
)
with_engine_options = functools.partial(with_model_options, only=ENGINE_OPTIONS)


@functools.cache
def _model_parameters() -> tuple[inspect.Parameter, ...]:
    hints = get_type_hints(ModelOptions, include_extras=True)
    return tuple(_parameter(name, hint) for name, hint in hints.items())


def _parameter(name: str, hint: Any) -> inspect.Parameter:
    """The option of a field of ModelOptions: its type, bounds, help and metavar are the field's."""
    optional, meta = get_args(hint)
    kind = get_args(optional)[0]
    settings: dict[str, Any] = {
        "help": meta.description,
        "rich_help_panel": _group_of(name),
        **(meta.extra or {}),
    }
    spellings = [f"--{name.replace('_', '-')}", *settings.pop("spellings", ())]
    if settings.pop("repeated", False):
        kind = list[str]
    elif kind is bool:
        spellings = [f"{spellings[0]}/--no-{spellings[0].removeprefix('--')}"]
    elif name == "pad_value":
        kind, settings["parser"] = Any, option_values.codes
    elif name == "input_shape":
        kind, settings["parser"] = Any, option_values.sizes
    elif kind == dict[str, Any]:
        kind, settings["parser"] = Any, option_values.json_object
    elif kind == tuple[float, ...]:
        kind, settings["parser"] = Any, option_values.numbers
    elif kind == tuple[str, ...]:
        kind = Path
    elif get_origin(kind) is Annotated:
        kind, bounds = get_args(kind)
        settings |= {"min": bounds.ge, "max": bounds.le}
    elif get_origin(kind) is Literal:
        words = get_args(kind)
        parser = functools.partial(option_values.word, words=words)
        settings |= {"parser": parser, "metavar": "|".join(words)}
        kind = Any
    option = typer.Option(*spellings, **settings)
    annotation: Any = Annotated[kind if kind is Any else kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _group_of(name: str) -> str:
    """The group in help of an option of ModelOptions."""
    if name in PICTURE_OPTIONS:
        return PICTURES
    return TASK if name in ("class_names", "task", "task_args", "decode") else MODEL


def _lines(class_names: Path) -> tuple[str, ...]:
    if class_names.suffix.lower() in (".yaml", ".yml"):
        from edge_scnet.data.data_yaml import class_names as names_of_yaml

        return names_of_yaml(class_names)
    try:
        text = read_text(class_names, most_bytes=MOST_SETTINGS_BYTES, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"--class-names {class_names} cannot be read: {reason(error)}",
            hint="a text file, one name per line, or a data.yaml with names",
        ) from error
    names = tuple(line.strip() for line in text.split("\n") if line.strip())
    if strange := next(filter(None, map(control_character, names)), None):
        raise DataError(
            f"--class-names {class_names} holds the control character {strange}",
            hint="a text file, one name per line",
        )
    if not names:
        raise DataError(
            f"--class-names {class_names} holds no names",
            hint="one name per line; without names leave the option out",
        )
    return names
