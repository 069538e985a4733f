"""A quantized file built alone: its own graph without rounding stands in for the float model.

The engine is held against that graph (`graph.dequantize`). That it computes what the file says is
proven; that the file is as accurate as its float model is not, so it is never told to ship.
"""

from __future__ import annotations

from pathlib import Path

from edge_scnet.core.events import Events
from edge_scnet.core.optional import require
from edge_scnet.graph.dequantize import dequantized
from edge_scnet.graph.model import save
from edge_scnet.graph.quantized_file import is_quantized_proto, read_quantized

# The file in the build folder, and the name of its engine's row.
DEQUANTIZED, ROW = "dequantized.onnx", "dequantized"


def is_quantized_file(path: Path) -> bool:
    """Whether an ONNX file is quantized; False for one that cannot be read."""
    onnx = require("onnx", extra="cpu")
    try:
        return is_quantized_proto(onnx.load(str(path), load_external_data=False))
    except Exception:  # the import says what is wrong with it
        return False


def write_dequantized(source: Path, path: Path, events: Events) -> None:
    """Writes the graph of a quantized file without the rounding of its activations.

    Raises:
        ArtifactError: the file cannot be read, or holds codes that are in no pair.
    """
    save(dequantized(read_quantized(source).model, what=str(source)), path)
    events.warn(
        f"{source} is quantized already, and its float model is not at hand: it is compared with"
        f" itself without the rounding of activations ({DEQUANTIZED}); what its quantization cost"
        " is not known"
    )
