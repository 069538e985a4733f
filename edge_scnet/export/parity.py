"""Export parity: the graph against PyTorch, or against the user's own ONNX file; names the first
module that differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import ParityError
from edge_scnet.export.from_onnx import real_inputs
from edge_scnet.export.from_torch import export_torch, outputs_of
from edge_scnet.graph.model import batch_of, expose
from edge_scnet.graph.names import SCOPE_KEY
from edge_scnet.graph.run import run_onnx

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

PARITY_BATCHES = (1, 2, 8)
# |difference| over the range of the logits. Float noise of a trained SCNet is about 3e-6; a graph that differs is far above.
PARITY_TOLERANCE = 1e-4
_MODULE_DIFFERENCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """What the parity check saw: the largest difference over the logits' range, by batch size."""

    batches: tuple[int, ...]
    worst: float
    images: int


def check_parity(
    model: nn.Module,
    exported: ir.Model,
    images: np.ndarray,
    *,
    opset: int,
    dynamic_batch: bool = False,
) -> Parity:
    """Compares PyTorch with ONNX Runtime on real and random images at batch 1, 2 and 8 (re-exported
    where static).

    Args:
        images: at least 8 preprocessed images, N x C x H x W float32.

    Raises:
        ParityError: a difference above 1e-4 of the logits' range or another top-1; names the first
            module that differs.
    """
    torch = require("torch", extra="export")
    rng = np.random.default_rng(0)
    own_batch = batch_of(exported, dynamic=0)
    batches = tuple(sorted({*PARITY_BATCHES, *([own_batch] if own_batch else [])}))
    worst = 0.0
    for batch in batches:
        real = images[np.arange(batch) % len(images)]
        random = rng.standard_normal(real.shape).astype(np.float32)
        graph = exported
        if not dynamic_batch and batch != own_batch:
            graph = export_torch(model, real.shape, opset=opset)
        for kind, data in (("real", real), ("random", random)):
            expected = outputs_of(model, torch.from_numpy(data))
            found = run_onnx(graph, [data])[0]
            for e, f in zip(expected, found, strict=True):
                spread = float(np.ptp(e)) or 1.0
                difference = float(np.abs(e - f).max()) / spread
                top1 = e.ndim != 2 or bool((e.argmax(1) == f.argmax(1)).all())
                worst = max(worst, difference)
                if not difference <= PARITY_TOLERANCE or not top1:
                    culprit = first_differing_module(model, graph, data)
                    raise ParityError(
                        f"the exported graph differs from PyTorch at batch {batch} on {kind}"
                        f" images: {difference:.1e} of the output range (allowed"
                        f" {PARITY_TOLERANCE:.0e}), top-1 {'equal' if top1 else 'different'}; first"
                        " module that differs:"
                        f" {culprit or 'none on its own (rounding adds up over the depth)'}"
                    )
    return Parity(batches=batches, worst=worst, images=min(len(images), batches[-1]))


def check_onnx_parity(path: Path, imported: ir.Model, images: np.ndarray) -> Parity:
    """Compares the prepared graph with the user's own ONNX file at the prepared batch size.

    Raises:
        ParityError: a difference above 1e-4 of the outputs' range or another top-1.
    """
    batch = batch_of(imported)
    original_batch = _fixed_batch(path) or batch
    worst = 0.0
    for start in range(0, min(len(images), 8), batch):
        data = images[np.arange(start, start + batch) % len(images)]
        found = run_onnx(imported, [data])[0]
        parts = [
            data[np.arange(i, i + original_batch) % batch] for i in range(0, batch, original_batch)
        ]
        expected = [
            np.concatenate(outputs)[:batch] for outputs in zip(*run_onnx(path, parts), strict=True)
        ]
        for e, f in zip(expected, found, strict=True):
            difference = float(np.abs(e - f).max()) / (float(np.ptp(e)) or 1.0)
            top1 = e.ndim != 2 or bool((e.argmax(1) == f.argmax(1)).all())
            worst = max(worst, difference)
            if not difference <= PARITY_TOLERANCE or not top1:
                raise ParityError(
                    f"folding changed {path.name}: {difference:.1e} of the output range (allowed"
                    f" {PARITY_TOLERANCE:.0e}), top-1 {'equal' if top1 else 'different'}"
                )
    return Parity(batches=(batch,), worst=worst, images=min(len(images), 8))


def _fixed_batch(path: Path) -> int | None:
    onnx = require("onnx", extra="export")
    proto = onnx.load(str(path), load_external_data=False)
    return real_inputs(proto)[0].type.tensor_type.shape.dim[0].dim_value or None


def first_differing_module(model: nn.Module, exported: ir.Model, data: np.ndarray) -> str | None:
    """The first leaf module, in graph order, whose output differs by more than 1e-3 of its range
    from the graph's.
    """
    torch = require("torch", extra="export")
    by_scope: dict[str, str] = {}
    for node in exported.graph:
        scope, output = node.metadata_props.get(SCOPE_KEY), node.outputs[0].name
        if scope and output:
            by_scope.pop(
                scope, None
            )  # a module used several times is compared, and stands, at its last use
            by_scope[scope] = output
    outputs: dict[str, np.ndarray] = {}
    hooks = []
    for name, module in model.named_modules():
        if name in by_scope and not list(module.children()):

            def keep(_: Any, __: Any, output: Any, name: str = name) -> None:
                # cloned: an in-place ReLU behind it would overwrite the tensor
                if isinstance(output, torch.Tensor):
                    outputs[name] = output.detach().clone().numpy()

            hooks.append(module.register_forward_hook(keep))
    try:
        with torch.inference_mode():
            model(torch.from_numpy(data))
    finally:
        for hook in hooks:
            hook.remove()
    wanted = {scope: by_scope[scope] for scope in by_scope if scope in outputs}
    observed = expose(exported, wanted.values())
    found = run_onnx(observed, [data], list(wanted.values()))[0]
    for (scope, _), array in zip(wanted.items(), found, strict=True):
        expected = outputs[scope]
        allowed = _MODULE_DIFFERENCE * (float(np.ptp(expected)) or 1.0)
        # "not <=": NaN differs too
        if expected.shape != array.shape or not np.abs(expected - array).max() <= allowed:
            return scope
    return None
