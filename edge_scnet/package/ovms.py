"""`--for ovms`: a model repository of OpenVINO Model Server, and a client.

Settings are those of `MODELS_CONFIG_SCHEMA` in openvinotoolkit/model_server, src/schema.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from edge_scnet.package.client import CLIENT, Served, client_packages, kserve_client
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.form import Content, Format
from edge_scnet.package.labels import LABELS, LABELS_JSON, by_line, json_names, rewritten_words
from edge_scnet.package.readme import readme
from edge_scnet.package.tensors import tensors_of

REPOSITORY, CONFIG = "models", "config.json"


def contents(facts: PackageFacts) -> Mapping[str, Content]:
    """The files of the package.

    Raises:
        ArtifactError: the engine's inputs and outputs cannot be read.
    """
    tensors = tensors_of(facts)
    served = Served(name=facts.plain_name, inputs=tensors.inputs, outputs=tensors.outputs)
    labels = by_line(facts.model.classes)
    files: dict[str, Content] = {
        "README.md": readme(FORMAT, facts, steps=_steps(facts), notes=(*_notes(facts, labels),)),
        CLIENT: kserve_client(facts, served),
        f"{REPOSITORY}/{CONFIG}": config(facts),
        # a model's folder has a folder for each version, whose name is a number
        **{f"{REPOSITORY}/{facts.plain_name}/1/{part.name}": part for part in facts.files},
    }
    if facts.model.classes:
        files |= {LABELS_JSON: json_names(facts.model.classes), LABELS: labels}
    return files


def config(facts: PackageFacts) -> str:
    """The text of config.json."""
    plugin: dict[str, str] = {"PERFORMANCE_HINT": "LATENCY"}
    if facts.opened_in != "default":
        # the IR does not carry it, and CPUs with BF16 would take that for the layers in float
        plugin["INFERENCE_PRECISION_HINT"] = facts.opened_in
    if facts.target.threads:
        plugin["INFERENCE_NUM_THREADS"] = str(facts.target.threads)
    model = {
        "name": facts.plain_name,
        "base_path": facts.plain_name,  # from this file's own folder
        "target_device": facts.target.device,
        "model_version_policy": {"latest": {"num_versions": 1}},
        "plugin_config": plugin,
    }
    return json.dumps({"model_config_list": [{"config": model}]}, indent=2) + "\n"


def _steps(facts: PackageFacts) -> str:
    return f"""
docker run --rm -p 8000:8000 -v "$PWD/{REPOSITORY}:/{REPOSITORY}:ro" openvino/model_server:latest \\
    --config_path /{REPOSITORY}/{CONFIG} --rest_port 8000
curl -f localhost:8000/v2/models/{facts.plain_name}/ready
pip install {client_packages(facts)}
python {CLIENT} {"picture.jpg" if facts.model.takes_pictures else "sample.npy"}
"""


def _notes(facts: PackageFacts, labels: str) -> Iterator[str]:
    version = facts.runtime_version or "not told"
    yield (
        f"The IR was made with OpenVINO {version}, and the figures are of that version: a server"
        " with an older one may not read it."
    )
    yield (
        f"`{REPOSITORY}/{CONFIG}` sets what the engine was judged with. A new engine goes into"
        f" `{REPOSITORY}/{facts.plain_name}/2`, and the server takes it up by itself."
    )
    yield (
        "The server has no class names: clients read them from"
        f" `{LABELS_JSON}`. No server was run when this was written."
        if facts.model.classes
        else "No server was run when this was written."
    )
    if facts.model.classes:
        yield from rewritten_words(facts.model.classes, labels)


FORMAT = Format(
    name="ovms",
    title="a model repository for OpenVINO Model Server",
    runtimes=("openvino",),
    contents=contents,
)
