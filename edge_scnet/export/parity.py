"""Export parity: the graph computes what the PyTorch model does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.facts import Parity
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.export.batches import Batches, refusal
from edge_scnet.export.differences import by_image, difference, has_finite
from edge_scnet.export.from_torch import export_torch
from edge_scnet.export.torch_call import call_arguments, outputs_of, tensors_of
from edge_scnet.graph.model import batch_of, expose
from edge_scnet.graph.names import SCOPE_KEY
from edge_scnet.graph.run import run_onnx

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

PARITY_BATCHES = (1, 2, 8)
_MODULE_DIFFERENCE = 1e-3


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
        ArtifactError: the images of a batch influence each other.
    """
    rng = np.random.default_rng(0)
    own_batch = batch_of(exported, dynamic=0)
    sizes = tuple(sorted({*(batches or PARITY_BATCHES), *([own_batch] if own_batch else [])}))
    worst, finite, run = 0.0, True, list[int]()
    for batch in sizes:
        real = images[np.arange(batch) % len(images)]
        random = _random_like(real, rng)
        graph = exported
        is_own = dynamic_batch or batch == own_batch
        if not is_own and not _takes(model, real):
            continue  # a module that is written for its own batch
        if not is_own:
            graph = export_torch(model, real, opset=opset)
        for kind, data in (("real", real), ("random", random)):
            expected = outputs_of(model, data)
            for want, output in zip(expected, run_onnx(graph, [data])[0], strict=True):
                compared = difference(want, output, batch=batch)
                worst = max(worst, compared.share)
                finite &= kind == "random" or has_finite(want)
                if not compared.holds:
                    culprit = first_differing_module(model, graph, data)
                    raise ParityError(
                        f"the exported graph differs from PyTorch at batch {batch} on {kind}"
                        f" images: {compared}; first module that differs:"
                        f" {culprit or 'none on its own (rounding adds up over the depth)'}"
                    )
        run.append(batch)
        if is_own and batch > 1:
            _check_apart(model, real)
    return Parity(batches=tuple(run), worst=worst, images=min(len(images), run[-1]), finite=finite)


def _takes(model: nn.Module, batch: np.ndarray) -> bool:
    """Whether a module runs on a batch of this size."""
    try:
        outputs_of(model, batch)
    except ArtifactError:
        return False
    return True


def _check_apart(model: nn.Module, batch: np.ndarray) -> None:
    """Raises ArtifactError where a module gives an image other values alone than in its batch."""
    alone = [outputs_of(model, batch[[index]]) for index in range(len(batch))]
    together = outputs_of(model, batch)
    for index, output in enumerate(together):
        images = [outputs[index] for outputs in alone]
        found = by_image(images, output, own=1, wanted=len(batch))
        if found.share > _MODULE_DIFFERENCE:
            culprit = _first_mixing_module(model, batch) or type(model).__name__
            raise refusal(
                Batches(own=1, wanted=len(batch)),
                f"{culprit} lets the images of a batch influence each other, or its output has no"
                f" batch in front (output {index} differs by {found})",
            )


def _first_mixing_module(model: nn.Module, batch: np.ndarray) -> str | None:
    """The first leaf module, in the order of their names, that gives other values in a batch."""
    names = {name: "" for name, _module in model.named_modules()}
    together = _module_outputs(model, batch, names)
    first, last = (_module_outputs(model, batch[[index]], names) for index in (0, -1))
    for name, output in together.items():
        if name not in first or len(output) != len(batch):
            continue
        rows = [first[name][:1], last[name][:1]]
        found = by_image(rows, output[[0, -1]], own=1, wanted=2)
        if found.share > _MODULE_DIFFERENCE:
            return name
    return None


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
