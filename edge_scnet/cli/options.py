"""The options that commands share: type, help and parsing of each."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import DataError


def _batch(text: str) -> int | Literal["dynamic"]:
    if text == "dynamic":
        return "dynamic"
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise typer.BadParameter(f"{text!r} is neither a whole number from 1 nor 'dynamic'")


def _counts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"{text!r} is no list of whole numbers from 1, like 1,2,4,8")
    return tuple(map(int, parts))


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers like 0.485,0.456,0.406") from None


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
            "A zoo name, a .pth/.pt/.safetensors (with --arch), an .onnx, or"
            " package.module:factory."
        ),
        autocompletion=_complete_model,
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--target", "-t", help="A target's name or .toml file.", autocompletion=_complete_target
    ),
]
Built = Annotated[
    Path, typer.Argument(metavar="PATH", help="A build folder, or an engine or ONNX file in one.")
]
Calib = Annotated[
    Path | None, typer.Option("--calib", metavar="DIR", readable=False, help="Calibration images.")
]
Eval = Annotated[
    Path | None, typer.Option("--eval", metavar="DIR", readable=False, help="Evaluation images.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Parent of the build folders. Default: build."),
]
Batch = Annotated[
    Any,
    typer.Option(
        "--batch",
        parser=_batch,
        metavar="N",
        help="Batch of the engine, or 'dynamic' (export only).",
    ),
]
Batches = Annotated[
    Any,
    typer.Option(
        "--batch",
        parser=_counts,
        metavar="N,N,...",
        help="Time the engines at these batches too, all in turn.",
    ),
]
Threads = Annotated[
    Any,
    typer.Option(
        "--threads",
        parser=_counts,
        metavar="N,N,...",
        help="The same with these numbers of threads.",
    ),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out images that cannot be read, and count them.")
]
IgnoreLabels = Annotated[
    bool, typer.Option("--ignore-labels", help="Evaluate without labels: agreement and SQNR only.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Seconds = Annotated[
    float, typer.Option("--seconds", min=0.1, max=3600, help="Timed seconds per engine.")
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        min=0,
        max=100,
        metavar="PP",
        help="Highest loss of top-1 in percentage points.",
    ),
]
SearchSeconds = Annotated[
    float | None,
    typer.Option(
        "--search",
        min=1,
        max=86_400,
        metavar="SECONDS",
        help=(
            "Where INT8 misses --max-drop: search so long for the fastest mix with float that"
            " keeps it."
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
Gain = Annotated[
    float | None,
    typer.Option(
        "--gain", min=0, max=100, metavar="DB", help="Search for so much more SQNR than INT8's."
    ),
]
MinSqnr = Annotated[
    float | None,
    typer.Option("--min-sqnr", min=0, max=200, metavar="DB", help="Search for this SQNR."),
]
Budget = Annotated[
    float,
    typer.Option("--budget", min=1, max=86_400, metavar="SECONDS", help="Time for the search."),
]

# options of a model: each a field of ModelOptions of the same name
_MODEL_OPTIONS: dict[str, Any] = {
    "arch": Annotated[
        str | None, typer.Option("--arch", help="Architecture of a checkpoint, such as scnet50.")
    ],
    "num_classes": Annotated[
        int | None, typer.Option("--num-classes", min=1, help="Classes of a checkpoint.")
    ],
    "channels": Annotated[
        int | None, typer.Option("--channels", min=1, max=4, help="Input channels.")
    ],
    "input_size": Annotated[
        int | None,
        typer.Option(
            "--input-size", min=8, max=4096, metavar="PX", help="Height and width of the input."
        ),
    ],
    "resize": Annotated[
        int | None,
        typer.Option("--resize", min=8, max=8192, metavar="PX", help="Short side before the crop."),
    ],
    "mean": Annotated[
        Any,
        typer.Option(
            "--mean",
            parser=_numbers,
            metavar="M,M,M",
            help="Mean per channel, of pixels from 0 to 1.",
        ),
    ],
    "std": Annotated[
        Any,
        typer.Option(
            "--std", parser=_numbers, metavar="S,S,S", help="Standard deviation per channel."
        ),
    ],
    "class_names": Annotated[
        Path | None,
        typer.Option("--class-names", metavar="FILE", help="Class names, one per line."),
    ],
    "name": Annotated[
        str | None, typer.Option("--name", help="Name of the build folder. Default: the model's.")
    ],
}


def with_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of a model to a command, which gets them as one record, `model_options`."""
    signature = inspect.signature(command, eval_str=True)
    own = [item for name, item in signature.parameters.items() if name != "model_options"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _MODEL_OPTIONS.items()
    ]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        options = {name: values.pop(name) for name in _MODEL_OPTIONS}
        if options["class_names"] is not None:
            options["class_names"] = _lines(options["class_names"])
        command(**values, model_options=ModelOptions(**options))

    wrapped.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return wrapped


def _lines(class_names: Path) -> tuple[str, ...]:
    try:
        lines = class_names.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"--class-names {class_names} cannot be read: {error}",
            hint="a text file, one name per line",
        ) from error
    return tuple(line.strip() for line in lines if line.strip())
