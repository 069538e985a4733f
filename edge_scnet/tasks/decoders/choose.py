"""Which decoder a head gets: the one that is named, or the only one that its outputs fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from edge_scnet.errors import DataError
from edge_scnet.tasks.decoders import DECODERS, decoder
from edge_scnet.tasks.decoders.base import Detections, ImageInfo, Outputs, words
from edge_scnet.tasks.decoders.user import called, imported, is_function

Decode = Callable[[Outputs, ImageInfo], Detections]
_OWN = "package.module:function"


def check_name(name: str) -> None:
    """Refuses what names no decoder.

    Raises:
        DataError: says which there are.
    """
    if name in DECODERS or is_function(name):
        return
    close = get_close_matches(name, DECODERS, n=1)
    raise DataError(
        f"there is no decoder {name!r}; there are {', '.join(DECODERS)}, or {_OWN}",
        hint=f"--decode {close[0] if close else _OWN}",
    )


def named(name: str) -> Decode:
    """The decoder of a name.

    Raises:
        DataError: there is none, or it cannot be imported.
    """
    check_name(name)
    if name in DECODERS:
        return decoder(name).decode
    function = imported(name)

    def decode(outputs: Outputs, info: ImageInfo) -> Detections:
        return called(function, name, outputs, info)

    return decode


def fitting(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> list[str]:
    """The names of the decoders that outputs of these shapes, of one image, can be for."""
    return [name for name in DECODERS if decoder(name).fits(shapes, info)]


def told(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> str:
    """The name of the only decoder that the outputs fit.

    Raises:
        DataError: none, or several; says which there are.
    """
    names = fitting(shapes, info)
    if len(names) == 1:
        return names[0]
    found = ", ".join(f"{name} {words(shape)}" for name, shape in shapes.items())
    if names:
        raise DataError(
            f"the outputs of an image, {found}, fit {len(names)} decoders: {', '.join(names)}",
            hint=f"say which: --decode {names[0]}",
        )
    listed = "\n".join(f"  {name}: {decoder(name).TITLE}" for name in DECODERS)
    raise DataError(
        f"no decoder is known for the outputs of an image, {found}. There are:\n{listed}",
        hint=f"--decode NAME, or your own function: --decode {_OWN}",
    )
