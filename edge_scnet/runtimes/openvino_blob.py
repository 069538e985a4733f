"""Compiled blobs of OpenVINO's CPU plug-in: written down, loaded, and what they are good for.

A blob is the graph after all transformations, which are those for one processor: the plug-in
supports it on the same kind of machine alone, and takes precision and threads from the options that
it is loaded with. Neither is checked by `import_model` in all versions, so the manifest has them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_scnet.core.facts import BlobFacts
from edge_scnet.core.files import write_atomic
from edge_scnet.core.foreign import open_regular
from edge_scnet.machine import environment
from edge_scnet.runtimes.base import OpenOptions


def facts_here(ov: Any, engine: str, options: OpenOptions) -> BlobFacts:
    """Returns what a blob is good for that is compiled here.

    Args:
        ov: the module openvino.
        engine: the name of the file that it is compiled of.
    """
    machine = environment.collect()
    return BlobFacts(
        engine=engine,
        version=str(ov.get_version()),
        processor=machine.cpu_model,
        features=machine.features,
        limit=machine.onednn_max_cpu_isa,
        precision=options.precision,
        mode=options.mode,
    )


def write_blob(compiled: Any, out: Path) -> None:
    """Writes a compiled model down.

    Raises:
        RuntimeError: OpenVINO's own. StorageError: the folder cannot be written.
    """
    stream = io.BytesIO()
    compiled.export_model(stream)
    with write_atomic(out) as temporary:
        temporary.write_bytes(stream.getbuffer())


def load_blob(core: Any, blob: Path, settings: Mapping[str, Any]) -> Any:
    """Returns the compiled model of a blob.

    Raises:
        RuntimeError: OpenVINO's own. OSError: the file cannot be read.
    """
    with open_regular(blob) as file:
        stream = io.BytesIO(file.read())
    return core.import_model(stream, "CPU", dict(settings))
