"""Export parity: the graph computes what the PyTorch model, or the user's own ONNX file, does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.facts import Parity
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, EdgeError, ParityError, first_line
from edge_scnet.export.from_onnx import Imported
from edge_scnet.export.from_torch import export_torch
from edge_scnet.export.inputs import feed_of_file
from edge_scnet.export.torch_call import call_arguments, outputs_of, tensors_of
from edge_scnet.graph.model import batch_of, expose
from edge_scnet.graph.names import SCOPE_KEY
from edge_scnet.graph.run import run_onnx

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

PARITY_BATCHES = (1, 2, 8)
# |difference| over the range of the outputs. Float noise of a trained SCNet is about 3e-6; a graph
# that differs is far above.
PARITY_TOLERANCE = 1e-4
_MODULE_DIFFERENCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """One output of both sides."""

    difference: float
    same_top1: bool
    allowed: float = PARITY_TOLERANCE

    @property
    def holds(self) -> bool:
        # "<=": NaN does not hold
        return self.difference <= self.allowed and self.same_top1

    def __str__(self) -> str:
        return (
            f"{self.difference:.1e} of the output range (allowed {self.allowed:.0e}), top-1"
            f" {'equal' if self.same_top1 else 'different'}"
        )


def _compared(
    expected: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
) -> Iterator[_Comparison]:
    for want, output in zip(expected, outputs, strict=True):
        yield _Comparison(
            difference=float(np.abs(want - output).max()) / (float(np.ptp(want)) or 1.0),
            same_top1=want.ndim != 2 or bool((want.argmax(1) == output.argmax(1)).all()),
        )


def check_parity(
    model: nn.Module,
    exported: ir.Model,
    images: np.ndarray,
    *,
    opset: int,
    dynamic_batch: bool = False,
    batches: Sequence[int] | None = None,
) -> Parity:
    """Compares PyTorch with ONNX Runtime on real and random images at several batch sizes.

    A static graph is exported again for each batch.

    Args:
        images: at least 8 samples, a batch as `core.feeds` has them.
        batches: the sizes, to which a static graph's own is added; None: PARITY_BATCHES.

    Raises:
        ParityError: a difference above 1e-4 of an output's range or another top-1; names the first
            module that differs.
    """
    rng = np.random.default_rng(0)
    own_batch = batch_of(exported, dynamic=0)
    sizes = tuple(sorted({*(batches or PARITY_BATCHES), *([own_batch] if own_batch else [])}))
    worst = 0.0
    for batch in sizes:
        real = images[np.arange(batch) % len(images)]
        random = _random_like(real, rng)
        graph = exported
        if not dynamic_batch and batch != own_batch:
            graph = export_torch(model, real, opset=opset)
        for kind, data in (("real", real), ("random", random)):
            expected = outputs_of(model, data)
            for output in _compared(expected, run_onnx(graph, [data])[0]):
                worst = max(worst, output.difference)
                if not output.holds:
                    culprit = first_differing_module(model, graph, data)
                    raise ParityError(
                        f"the exported graph differs from PyTorch at batch {batch} on {kind}"
                        f" images: {output}; first module that differs:"
                        f" {culprit or 'none on its own (rounding adds up over the depth)'}"
                    )
    return Parity(batches=sizes, worst=worst, images=min(len(images), sizes[-1]))


def _random_like(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normally distributed values in place of the real numbers of a batch; the rest is kept."""
    if batch.dtype.names is None:
        plain: np.ndarray = rng.standard_normal(batch.shape).astype(np.float32)
        return plain
    random: np.ndarray = batch.copy()
    for name in batch.dtype.names:
        if batch.dtype[name].base.kind == "f":
            random[name] = rng.standard_normal(batch[name].shape)
    return random


def check_onnx_parity(path: Path, imported: Imported, images: np.ndarray) -> Parity:
    """Compares the prepared graph with the user's own ONNX file at the prepared batch size.

    Args:
        images: a batch as `core.feeds` has them.

    Raises:
        ParityError: a difference above 1e-4 of the outputs' range or another top-1.
    """
    batch = batch_of(imported.model)
    original_batch = imported.plan.first.shape[0] or batch
    worst = 0.0
    for start in range(0, min(len(images), 8), batch):
        data = images[np.arange(start, start + batch) % len(images)]
        outputs = run_onnx(imported.model, [data])[0]
        parts = [
            feed_of_file(imported.plan, data[np.arange(i, i + original_batch) % batch])
            for i in range(0, batch, original_batch)
        ]
        runs = _runs_of_file(path, imported, parts)
        if runs is not None:
            whole = [np.concatenate(arrays) for arrays in zip(*runs, strict=True)]
            expected = [array[: len(output)] for array, output in zip(whole, outputs, strict=True)]
        if imported.raised is not None:
            expected = _raised_outputs(path, imported, data, expected if runs else None)
        for output in _compared(expected, outputs):
            worst = max(worst, output.difference)
            if not output.holds:
                raise ParityError(f"folding changed {path.name}: {output}")
    return Parity(batches=(batch,), worst=worst, images=min(len(images), 8))


def _runs_of_file(
    path: Path, imported: Imported, feeds: Sequence[dict[str, np.ndarray]]
) -> list[list[np.ndarray]] | None:
    """The file's own outputs; None where ONNX Runtime can run it with float32 alone.

    Raises:
        ArtifactError: ONNX Runtime cannot run it at all.
    """
    try:
        return run_onnx(path, feeds)
    except EdgeError:
        raise
    except Exception as error:
        # it has no convolution of DOUBLE, and no operator of BFLOAT16
        if imported.raised is not None and type(error).__name__ == "NotImplemented":
            return None
        raise ArtifactError(
            f"{path} cannot be run by ONNX Runtime, in which the graph is compared with it:"
            f" {first_line(error)}"
        ) from error


def _raised_outputs(
    path: Path, imported: Imported, data: np.ndarray, rounded: Sequence[np.ndarray] | None
) -> list[np.ndarray]:
    """What a file of other real numbers gives where float32 takes their place.

    The prepared graph is held to it as closely as to other files; it is held to the file itself
    as closely as the file's own rounding allows, which may turn the order of near classes round.

    Args:
        rounded: what the file gives; None: it cannot be run.

    Raises:
        ParityError: it lies farther from the file.
    """
    assert imported.raised is not None
    outputs = run_onnx(imported.raised, [data])[0]
    for want, output in zip(outputs if rounded is None else rounded, outputs, strict=True):
        compared = next(_compared([want.astype(np.float32)], [output]))
        if imported.rounding:
            compared = replace(compared, same_top1=True, allowed=imported.rounding)
        if not compared.holds:
            raise ParityError(
                f"{path.name} in float32 differs from the file itself: {compared}",
                hint="pass the float32 model that the file was made from",
            )
    return outputs


def first_differing_module(model: nn.Module, exported: ir.Model, data: np.ndarray) -> str | None:
    """Returns the first leaf module, in graph order, whose output differs from the graph's.

    Returns:
        Its name; None where no module differs by more than 1e-3 of its output's range.
    """
    tensor_of = _tensors_by_module(exported)
    expected = _module_outputs(model, data, tensor_of)
    tensors = {module: tensor for module, tensor in tensor_of.items() if module in expected}
    observed = expose(exported, tensors.values())
    arrays = run_onnx(observed, [data], list(tensors.values()))[0]
    for module, array in zip(tensors, arrays, strict=True):
        want = expected[module]
        allowed = _MODULE_DIFFERENCE * (float(np.ptp(want)) or 1.0)
        # "not <=": NaN differs too
        if want.shape != array.shape or not np.abs(want - array).max() <= allowed:
            return module
    return None


def _tensors_by_module(exported: ir.Model) -> dict[str, str]:
    """The tensor that a leaf module gives, by module and in the order of the graph."""
    tensors: dict[str, str] = {}
    for node in exported.graph:
        scope, output = node.metadata_props.get(SCOPE_KEY), node.outputs[0].name
        if scope and output:
            # a module used several times is compared, and stands, at its last use
            tensors.pop(scope, None)
            tensors[scope] = output
    return tensors


def _module_outputs(
    model: nn.Module, data: np.ndarray, names: dict[str, str]
) -> dict[str, np.ndarray]:
    """The outputs of the leaf modules among `names` that give one tensor."""
    torch = require("torch", extra="export")
    outputs: dict[str, np.ndarray] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            # cloned: an in-place ReLU behind it would overwrite the tensor
            if isinstance(output, torch.Tensor):
                outputs[name] = output.detach().clone().numpy()

        return hook

    hooks = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if name in names and not list(module.children())
    ]
    try:
        with torch.inference_mode():
            arguments, keywords = call_arguments(model, tensors_of(data))
            model(*arguments, **keywords)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs
