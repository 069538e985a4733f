"""`--for triton`: a model repository of Triton Inference Server, and a client.

Fields are those of `ModelConfig` in triton-inference-server/common, protobuf/model_config.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from edge_scnet.errors import ArtifactError
from edge_scnet.package.client import CLIENT, Served, client_packages, triton_client
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.form import Content, Format
from edge_scnet.package.labels import LABELS, LABELS_JSON, by_line, json_names, rewritten_words
from edge_scnet.package.pbtxt import Word, text_format
from edge_scnet.package.readme import readme
from edge_scnet.package.tensors import Tensor, Tensors, tensors_of

REPOSITORY, CONFIG = "models", "config.pbtxt"
_WARM_UP_RUNS = 10
_TYPES = {
    "bool": "TYPE_BOOL",
    "bfloat16": "TYPE_BF16",
    **{f"float{bits}": f"TYPE_FP{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"TYPE_INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"TYPE_UINT{bits}" for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What of Triton runs a kind of engine."""

    name: str
    # the older word for it, which some backends ask for
    platform: str | None
    # what it opens in a version's folder
    file: str
    # of ModelInstanceGroup
    device: str


# By the manifest's kind of engine.
_BACKENDS = {
    "openvino-ir": Backend(name="openvino", platform=None, file="model.xml", device="KIND_CPU"),
    "tensorrt-plan": Backend(
        name="tensorrt", platform="tensorrt_plan", file="model.plan", device="KIND_GPU"
    ),
    "onnx": Backend(
        name="onnxruntime", platform="onnxruntime_onnx", file="model.onnx", device="KIND_CPU"
    ),
}


def contents(facts: PackageFacts) -> Mapping[str, Content]:
    """The files of the package.

    Raises:
        ArtifactError: the engine's inputs and outputs cannot be read, or are of a type that Triton
            does not have.
    """
    tensors = tensors_of(facts)
    classes = facts.model.classes
    files: dict[str, Content] = {
        "README.md": readme(FORMAT, facts, steps=_steps(facts), notes=tuple(_notes(facts))),
        CLIENT: triton_client(facts, served(facts, tensors)),
        **repository(facts, tensors, folder=f"{REPOSITORY}/{facts.plain_name}"),
    }
    return {**files, LABELS_JSON: json_names(classes)} if classes else files


def repository(facts: PackageFacts, tensors: Tensors, *, folder: str) -> Mapping[str, Content]:
    """The model repository: settings, class names, and the engine as its version 1.

    Args:
        folder: the model's own, in the package.

    Raises:
        ArtifactError: a type that Triton does not have.
    """
    main = _BACKENDS[facts.kind].file
    stem = main.rpartition(".")[0]
    files: dict[str, Content] = {f"{folder}/{CONFIG}": config(facts, tensors)}
    for part in facts.files:
        name = main if part is facts.engine else f"{stem}.{part.name.rpartition('.')[2]}"
        files[f"{folder}/1/{name}"] = part
    if facts.model.classes:
        files[f"{folder}/{LABELS}"] = by_line(facts.model.classes)
    return files


def served(facts: PackageFacts, tensors: Tensors) -> Served:
    """What clients have to know: shapes as requests have them."""
    inputs, outputs = (
        tuple(replace(tensor, shape=dims_of(tensor, facts)) for tensor in group)
        for group in (tensors.inputs, tensors.outputs)
    )
    return Served(name=facts.plain_name, inputs=inputs, outputs=outputs)


def config(facts: PackageFacts, tensors: Tensors) -> str:
    """The text of config.pbtxt.

    Raises:
        ArtifactError: a type that Triton does not have.
    """
    backend = _BACKENDS[facts.kind]
    outputs = [_tensor(tensor, facts) for tensor in tensors.outputs]
    if facts.model.classes and _is_of_classes(tensors.outputs[0], facts):
        outputs[0]["label_filename"] = LABELS
    fields: dict[str, object] = {
        "name": facts.plain_name,
        "backend": backend.name,
        **({} if backend.platform is None else {"platform": backend.platform}),
        # the engine's batch is fixed, so Triton may not put requests together: 0 says so
        "max_batch_size": 0,
        "input": [_tensor(tensor, facts, is_input=True) for tensor in tensors.inputs],
        "output": outputs,
        "instance_group": [{"kind": Word(backend.device), "count": 1}],
        "version_policy": {"latest": {"num_versions": 1}},
        "model_warmup": [
            {
                "name": "zeros",
                "batch_size": 1,
                "inputs": [_warm_up(tensor, facts) for tensor in tensors.inputs],
                "count": _WARM_UP_RUNS,
            }
        ],
    }
    settings = _settings_of(facts)
    if settings:
        fields["parameters"] = [
            {"key": key, "value": {"string_value": value}} for key, value in settings.items()
        ]
    head = "# Written by edge-scnet package. Names, types and shapes are the engine's own.\n"
    return head + text_format(fields)


def _tensor(tensor: Tensor, facts: PackageFacts, *, is_input: bool = False) -> dict[str, object]:
    """A ModelInput or ModelOutput.

    At batch 1 requests leave the batch out, as in Triton's own examples: `dims` are those of one
    sample, `reshape` those of the engine.
    """
    fields: dict[str, object] = {"name": tensor.name, "data_type": Word(_type_of(tensor))}
    dims = dims_of(tensor, facts)
    if is_input and len(dims) == 3 and facts.model.takes_pictures:
        fields["format"] = Word(f"FORMAT_{facts.input.layout}")
    fields["dims"] = list(dims)
    if dims != tensor.shape:
        fields["reshape"] = {"shape": list(tensor.shape)}
    return fields


def dims_of(tensor: Tensor, facts: PackageFacts) -> tuple[int, ...]:
    """The shape of a tensor in requests and answers."""
    shape = tensor.shape
    if not shape:
        return (1,)  # Triton has no tensors without a dimension
    is_plain = facts.batch == 1 and len(shape) > 1 and shape[0] == 1 and min(shape) > 0
    return shape[1:] if is_plain else shape


def _type_of(tensor: Tensor) -> str:
    try:
        return _TYPES[tensor.dtype]
    except KeyError:
        raise ArtifactError(
            f"triton has no type for {tensor.name!r}, which is {tensor.dtype}; it has"
            f" {', '.join(sorted(_TYPES))}"
        ) from None


def _warm_up(tensor: Tensor, facts: PackageFacts) -> dict[str, object]:
    value = {
        "data_type": Word(_type_of(tensor)),
        "dims": list(dims_of(tensor, facts)),
        "zero_data": True,
    }
    return {"key": tensor.name, "value": value}


def _is_of_classes(tensor: Tensor, facts: PackageFacts) -> bool:
    """Whether an output has a number for each class, which Triton can then name."""
    return math.prod(dims_of(tensor, facts)) == len(facts.model.classes)


def _settings_of(facts: PackageFacts) -> dict[str, str]:
    """The backend's own settings.

    That of OpenVINO knows no INFERENCE_PRECISION_HINT: its `ParseParameters`
    (triton-inference-server/openvino_backend, src/openvino.cc) reads these and few others.
    """
    threads = str(facts.target.threads)
    if facts.kind == "onnx":
        return {} if threads == "0" else {"intra_op_thread_count": threads}
    if facts.kind != "openvino-ir":
        return {}
    settings = {"PERFORMANCE_HINT": "LATENCY"}
    if facts.target.threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    if facts.opened_in == "bf16":
        settings["HINT_BF16"] = "YES"
    return settings


def _steps(facts: PackageFacts) -> str:
    gpus = "--gpus=all " if facts.target.device == "GPU" else ""
    return f"""
docker run --rm {gpus}-p 8000:8000 -v "$PWD/{REPOSITORY}:/{REPOSITORY}:ro" \\
    nvcr.io/nvidia/tritonserver:YY.MM-py3 tritonserver --model-repository=/{REPOSITORY}
curl -f localhost:8000/v2/models/{facts.plain_name}/ready
pip install "tritonclient[http]" {client_packages(facts)}
python {CLIENT} {"picture.jpg" if facts.model.takes_pictures else "sample.npy"}
"""


def _notes(facts: PackageFacts) -> Iterator[str]:
    version = facts.runtime_version or "the one that the manifest tells"
    if facts.kind == "tensorrt-plan":
        yield f"YY.MM: the release whose TensorRT is {version}; a plan loads with no other."
    else:
        yield (
            f"YY.MM: a release whose {facts.runtime_title} is {version} or newer; the figures are"
            " of that version."
        )
    if facts.kind == "openvino-ir" and facts.opened_in == "f32":
        yield (
            "On CPUs with AVX512-BF16 or AMX Triton computes the layers in float in BF16, which is"
            " not what was measured: its OpenVINO backend has no setting for it. OpenVINO Model"
            " Server has one: `--for ovms`."
        )
    yield (
        f"`max_batch_size` is 0, for the engine's batch of {facts.batch} is fixed."
        f" {_WARM_UP_RUNS} inferences of zeros warm it up before the server says that it is ready."
    )
    if facts.model.classes:
        yield from rewritten_words(facts.model.classes, by_line(facts.model.classes))
    yield "Written by Triton's published schema; no server was run for it."


FORMAT = Format(
    name="triton",
    title="a model repository for Triton Inference Server",
    runtimes=("openvino", "tensorrt", "onnxruntime"),
    contents=contents,
)
