"""Export parity: the graph computes what the PyTorch model, or the user's own ONNX file, does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.facts import Parity
from edge_scnet.core.feeds import Batch
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, EdgeError, ParityError, first_line
from edge_scnet.export.batches import first_mixing_node, refusal
from edge_scnet.export.differences import Difference, by_image, difference
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
_MODULE_DIFFERENCE = 1e-3
# What a file's own outputs may change when ONNX Runtime computes it in another order is noise, and
# so is a few times as much.
_NOISE_FACTOR = 4.0
_MOST_NOISE = 1e-2


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
    worst, finite = 0.0, True
    for batch in sizes:
        real = images[np.arange(batch) % len(images)]
        random = _random_like(real, rng)
        graph = exported
        if not dynamic_batch and batch != own_batch:
            graph = export_torch(model, real, opset=opset)
        for kind, data in (("real", real), ("random", random)):
            expected = outputs_of(model, data)
            for want, output in zip(expected, run_onnx(graph, [data])[0], strict=True):
                compared = difference(want, output, batch=batch)
                worst = max(worst, compared.share)
                finite &= kind == "random" or _has_finite(want)
                if not compared.holds:
                    culprit = first_differing_module(model, graph, data)
                    raise ParityError(
                        f"the exported graph differs from PyTorch at batch {batch} on {kind}"
                        f" images: {compared}; first module that differs:"
                        f" {culprit or 'none on its own (rounding adds up over the depth)'}"
                    )
    images_used = min(len(images), sizes[-1])
    return Parity(batches=sizes, worst=worst, images=images_used, finite=finite)


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

    The file is run for every image alone, the graph for batches of them.

    Args:
        images: a batch as `core.feeds` has them.

    Raises:
        ParityError: a difference above 1e-4 of the outputs' range or another top-1.
        ArtifactError: the images of a batch influence each other.
    """
    own, wanted = imported.batches.own, imported.batches.wanted
    worst, finite, most_noise = 0.0, True, 0.0
    for start in range(0, min(len(images), 8), wanted):
        data = images[np.arange(start, start + wanted) % len(images)]
        single = [data[[index] * own] for index in range(wanted)]
        truth = imported.file
        feeds: list[Batch] = [feed_of_file(imported.plan, image) for image in single]
        alone = _runs_of_file(path, imported, feeds)
        if imported.raised is not None:
            truth, feeds = imported.raised, [*single]
            alone = _raised_outputs(path, imported, single, alone)
        assert alone is not None
        outputs = run_onnx(imported.model, [data])[0]
        compared = [
            by_image([run[index] for run in alone], output, own=own, wanted=wanted)
            for index, output in enumerate(outputs)
        ]
        worst = max([worst, *(found.share for found in compared)])
        finite &= all(_has_finite(array) for run in alone for array in run)
        if not all(found.holds for found in compared):
            noise = _noise(alone, run_onnx(truth, feeds, optimize=True))
            most_noise = max([most_noise, *(found.share for found in noise)])
            for name, found, own_noise in zip(_names(imported), compared, noise, strict=True):
                if not (found.holds or _is_noise(found, own_noise)):
                    raise _differs(path, imported, data, f"output {name!r} differs by {found}")
    return Parity(
        batches=(wanted,),
        worst=worst,
        images=min(len(images), 8),
        finite=finite,
        noise=most_noise,
    )


def _runs_of_file(
    path: Path, imported: Imported, feeds: Sequence[Batch]
) -> list[list[np.ndarray]] | None:
    """The file's own outputs; None where ONNX Runtime can run it with float32 alone.

    Raises:
        ArtifactError: ONNX Runtime cannot run it at all.
    """
    try:
        return run_onnx(imported.file, feeds)
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
    path: Path,
    imported: Imported,
    batches: Sequence[np.ndarray],
    rounded: Sequence[Sequence[np.ndarray]] | None,
) -> list[list[np.ndarray]]:
    """What a file of other real numbers gives where float32 takes their place, by batch.

    The prepared graph is held to it as closely as to other files; it is held to the file itself
    as closely as the file's own rounding allows, which may turn the order of near classes round.

    Args:
        rounded: what the file gives; None: it cannot be run.

    Raises:
        ParityError: it lies farther from the file.
    """
    assert imported.raised is not None
    runs = run_onnx(imported.raised, batches)
    for run, run_of_file in zip(runs, rounded or (), strict=rounded is not None):
        for want, output in zip(run_of_file, run, strict=True):
            if imported.rounding and want.dtype.kind != "f":
                # choices between near values: rounding turns them round
                continue
            found = difference(want, output, batch=len(want) if want.ndim else 0)
            near = found.share <= imported.rounding if imported.rounding else found.holds
            if not near:
                allowed = f"; its own rounding explains {imported.rounding:.1e}" * bool(
                    imported.rounding
                )
                raise ParityError(
                    f"{path.name} in float32 differs from the file itself: {found}{allowed}",
                    hint="pass the float32 model that the file was made from",
                )
    return runs


def _noise(
    plain: Sequence[Sequence[np.ndarray]], optimized: Sequence[Sequence[np.ndarray]]
) -> list[Difference]:
    """What rounding alone changes, by output: both runs are of the file itself.

    ONNX Runtime's optimiser computes the same in another order.
    """
    by_run = [
        [difference(want, have, batch=len(want)) for want, have in zip(*runs, strict=True)]
        for runs in zip(plain, optimized, strict=True)
    ]
    return [
        Difference(
            share=max(found.share for found in output),
            same_top1=all(found.same_top1 for found in output),
        )
        for output in zip(*by_run, strict=True)
    ]


def _is_noise(found: Difference, noise: Difference) -> bool:
    return found.share <= _NOISE_FACTOR * min(noise.share, _MOST_NOISE) and (
        found.same_top1 or not noise.same_top1
    )


def _differs(path: Path, imported: Imported, data: np.ndarray, what: str) -> EdgeError:
    """The error of a graph that does not compute what the file does; names the node if it can."""
    batches = imported.batches
    if imported.alone is not None:
        node = first_mixing_node(imported.alone, imported.static, data, batches)
        if node is not None:
            where = f"{node.op_type} at {node.name or node.outputs[0].name}"
            return refusal(
                batches, f"{where} lets the images of a batch influence each other ({what})"
            )
    return ParityError(f"folding changed {path.name}: {what}")


def _names(imported: Imported) -> list[str]:
    return [str(value.name) for value in imported.model.graph.outputs]


def _has_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or not array.size or bool(np.isfinite(array).any())


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
