"""The model repository of OpenVINO Model Server, held to its published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_scnet.package import ovms
from tests.helpers.hostile import check_fit
from tests.helpers.served import HOSTILE, PIXELS, ir, model, of_openvino

_COUNT = {"type": "integer", "minimum": 0}
_VERSION = {"type": "integer", "minimum": 1}


def closed(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """An object that has these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required or [],
        "additionalProperties": False,
    }


# MODELS_CONFIG_SCHEMA of openvinotoolkit/model_server (src/schema.cpp, August 2026), as far as it
# is about single models.
SCHEMA = closed(
    ["model_config_list"],
    model_config_list={
        "type": "array",
        "items": closed(
            ["config"],
            config=closed(
                ["name"],
                name={"type": "string"},
                base_path={"type": "string"},
                batch_size={"type": ["integer", "string"], "minimum": 0},
                model_version_policy={
                    "oneOf": [
                        closed(["all"], all=closed()),
                        closed(
                            ["specific"],
                            specific=closed(
                                ["versions"], versions={"type": "array", "items": _VERSION}
                            ),
                        ),
                        closed(["latest"], latest=closed(["num_versions"], num_versions=_VERSION)),
                    ]
                },
                shape={"type": ["object", "string"]},
                layout={"type": ["object", "string"]},
                nireq=_COUNT,
                target_device={"type": "string"},
                allow_cache={"type": "boolean"},
                plugin_config={
                    "type": "object",
                    "additionalProperties": {"type": ["string", "boolean", "number"]},
                },
            ),
        ),
    },
)


def settings(text: str) -> dict[str, Any]:
    content = json.loads(text)
    jsonschema.validate(content, SCHEMA)
    (entry,) = content["model_config_list"]
    found: dict[str, Any] = entry["config"]
    return found


def test_the_settings_are_those_that_the_engine_was_judged_with(tmp_path: Path) -> None:
    assert settings(ovms.config(of_openvino(tmp_path))) == {
        "name": "net",
        "base_path": "net",
        "target_device": "CPU",
        "model_version_policy": {"latest": {"num_versions": 1}},
        "plugin_config": {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"},
    }


@pytest.mark.parametrize("opened_in", ["bf16", "default"])
def test_threads_and_precision_follow_the_build(tmp_path: Path, opened_in: Any) -> None:
    facts = of_openvino(tmp_path)
    facts = replace(facts, target=replace(facts.target, threads=2), opened_in=opened_in)
    plugin = settings(ovms.config(facts))["plugin_config"]
    hint = {} if opened_in == "default" else {"INFERENCE_PRECISION_HINT": "bf16"}
    assert plugin == {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": "2", **hint}


def test_the_files(tmp_path: Path) -> None:
    files = ovms.contents(of_openvino(tmp_path))
    assert set(files) == {
        "README.md",
        "client.py",
        "labels.json",
        "labels.txt",
        "models/config.json",
        "models/net/1/model.xml",
        "models/net/1/model.bin",
    }
    assert tuple(json.loads(str(files["labels.json"]))) == HOSTILE
    for name, content in files.items():
        if isinstance(content, str) and name != "labels.txt":
            check_fit(content)
        if name.endswith(".py"):
            compile(str(content), name, "exec")


def test_without_names_there_are_no_labels(tmp_path: Path) -> None:
    files = ovms.contents(of_openvino(tmp_path, model=model(()), xml=ir(outputs=7)))
    assert not any("labels" in name for name in files)
    assert "labels" not in str(files["client.py"])


def test_arrays_come_from_files_of_numpy(tmp_path: Path) -> None:
    spec = model(input_shape=(7, 32, 48))
    client = str(ovms.contents(of_openvino(tmp_path, model=spec))["client.py"])
    assert "np.load(path)" in client
    assert "PIL" not in client


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a\\", "größe", "{x}", "input:0"])
def test_names_of_tensors_are_literals_in_the_client(tmp_path: Path, name: str) -> None:
    xml = ir(name=name, output=name)
    client = str(ovms.contents(of_openvino(tmp_path, xml=xml))["client.py"])
    assert f"\n    {name!a}: (" in client
    assert f"OUTPUTS = [{name!a}]" in client
    compile(client, "client.py", "exec")


def test_an_engine_of_bytes_is_asked_with_bytes(tmp_path: Path) -> None:
    facts = of_openvino(tmp_path, xml=ir(pixels=True), input=PIXELS)
    client = str(ovms.contents(facts)["client.py"])
    assert '\'input\': ("uint8", "UINT8", (1, 32, 48, 3))' in client
    assert "MEAN" not in client
