"""What turns the outputs of a detector's head into boxes, scores and classes.

A decoder is a module that meets `base.Decoder`, or a function of the user's. To add one, write the
module and name it here.
"""

from __future__ import annotations

import importlib
from typing import cast

from edge_scnet.tasks.decoders.base import Decoder

# by name; the modules import nothing heavy
DECODERS = {
    name: f"edge_scnet.tasks.decoders.{module}"
    for name, module in (
        ("yolox", "yolox"),
        ("yolov5", "yolov5"),
        ("yolov8", "yolov8"),
        ("end2end", "end2end"),
        ("ssd", "ssd"),
        ("fcos", "fcos"),
        ("nanodet", "nanodet"),
        ("nanodet-plus", "nanodet_plus"),
        ("fastestdet", "fastestdet"),
        ("yunet", "yunet"),
    )
}


def decoder(name: str) -> Decoder:
    """The decoder of a name in `DECODERS`."""
    return cast("Decoder", importlib.import_module(DECODERS[name]))
