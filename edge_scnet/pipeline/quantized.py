"""quantize: an INT8 engine of a model and of samples in memory, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import load_target
from edge_scnet.core.events import Events
from edge_scnet.core.facts import EngineFacts, FloatLayer, QdqFacts
from edge_scnet.core.manifest import BUNDLE, FLOAT_ONNX, QDQ_ONNX, Manifest
from edge_scnet.pipeline.build import build
from edge_scnet.pipeline.decide import check_int8
from edge_scnet.stats.decibels import decibels

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """An INT8 engine, the graphs that it was made of, and what its proof found."""

    # holds all files
    folder: Path
    # the engine; of a board's target the bundle that the board builds it of
    engine: Path
    # the Q/DQ graph, and the float graph that it was made of
    qdq: Path
    float_onnx: Path
    # of the engine's outputs against the float graph's on calibration samples, the worst output's;
    # None: identical, whole numbers, or the engine is built on a board
    sqnr_db: float | None
    # the same of the Q/DQ graph, simulated
    simulated_sqnr_db: float | None
    # of the multiply-adds of one sample, the share that the Q/DQ graph has in INT8, from 0 to 1;
    # None: not counted
    int8_share: float | None
    # the names of the layers in INT8
    int8_layers: tuple[str, ...]
    # the layers that compute products and stay in float, with the reason
    float_layers: tuple[FloatLayer, ...]
    # layers that should be INT8 and that the engine computes in another precision: this precision
    executed_in_float: dict[str, str]
    # what the manifest says of every file
    manifest: Manifest

    @property
    def summary(self) -> str:
        """All of it in one line."""
        counted = f"{len(self.int8_layers)} layers in INT8"
        if self.int8_share is not None:
            counted += f" ({100 * self.int8_share:.0f} % of the multiply-adds)"
        if self.executed_in_float:
            counted += f", {len(self.executed_in_float)} of them executed in float"
        quality = "" if self.sqnr_db is None else f", SQNR {decibels(self.sqnr_db)}"
        return f"{self.engine}: {counted}{quality}"


def quantize(  # noqa: PLR0913  the public function's options, by keyword
    model: str | Path | nn.Module,
    samples: Path | str | Iterable[Any],
    *,
    target: str = "cpu",
    out: Path | str | None = None,
    model_options: ModelOptions | None = None,
    wait: bool = False,
    events: Events | None = None,
) -> Quantized:
    """Makes an INT8 engine of a model, calibrated with samples, and proves that it computes it.

    ```python
    made = edge_scnet.quantize(model, loader, target="cpu")  # 100 samples and more, 300 are better
    print(made.engine, made.sqnr_db, made.int8_share)
    ```

    Nothing is measured but the engine's agreement with the float model: `edge_scnet.build` with
    `evaluation=` also judges accuracy and speed. What an earlier call made of the same model and
    the same samples is reused.

    Args:
        model: a torch.nn.Module, of which a copy in eval mode is used; an ONNX file; or what else
            `build` takes.
        samples: what the network takes, not preprocessed any more: a list, a generator, a
            DataLoader, a Dataset, or one array of all samples. An item is an array or a tensor, a
            dict of arrays by input name, or a tuple with a label behind, which is not used; it is
            one sample, or a batch of samples along the first axis. What it is follows from the
            model; where both would do, an item with three axes of which the first is 1 or 3 is one
            picture, and `model_options.input_shape` settles it. As many are read as the target
            calibrates with (1,024). Or a folder, as build's `calib`.
        target: a bundled target's name or a .toml file.
        out: parent of the build folders, default "build"; the files go to out/<name>/<target>/.
        model_options: for what samples do not tell, as `name`.
        wait: where another run writes into the build folder, until it has ended; otherwise that is
            an error.
        events: told of the progress; default: nobody is, and warnings go to `warnings`.

    Returns:
        The paths of the engine and of its graphs, and what its proof found.

    Raises:
        DataError: no samples, fewer than 100, or samples that differ in shape, do not fit the
            model, or hold NaN.
        ArtifactError: a model that cannot be loaded, exported or quantized.
        EdgeError: see errors.py; nothing half-written is left.
    """
    check_int8(load_target(target))
    result = build(
        model,
        target=target,
        calib=samples,
        out=out,
        model_options=model_options,
        until="compile",
        wait=wait,
        events=events,
        command="edge_scnet.quantize(...)",
    )
    artifacts = result.manifest.artifacts
    qdq = artifacts[QDQ_ONNX].facts
    assert isinstance(qdq, QdqFacts)
    engines = [
        entry
        for entry in artifacts.values()
        if isinstance(entry.facts, EngineFacts) and entry.facts.precision == "int8"
    ]
    facts = engines[0].facts if engines else None
    assert facts is None or isinstance(facts, EngineFacts)
    fidelity = facts.fidelity if facts else None
    return Quantized(
        folder=result.folder,
        engine=result.folder / (engines[0].file if engines else BUNDLE),
        qdq=result.folder / QDQ_ONNX,
        float_onnx=result.folder / FLOAT_ONNX,
        sqnr_db=fidelity.engine_db if fidelity else None,
        simulated_sqnr_db=fidelity.simulation_db if fidelity else None,
        int8_share=_share(qdq),
        int8_layers=qdq.int8_layers or qdq.int8_convolutions,
        float_layers=qdq.float_layers,
        executed_in_float=dict(facts.in_float or {}) if facts else {},
        manifest=result.manifest,
    )


def _share(qdq: QdqFacts) -> float | None:
    """The share of the multiply-adds in INT8."""
    if not qdq.multiply_adds or qdq.int8_multiply_adds is None:
        return None
    return qdq.int8_multiply_adds / qdq.multiply_adds
