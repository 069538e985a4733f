"""What `show` says of where values come from."""

from __future__ import annotations

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.models import zoo
from edge_scnet.pipeline.resolved import of_model


def test_options_that_tell_a_value_together_are_all_named() -> None:
    options = ModelOptions(
        input_shape=(3, 64, 64), input_size=64, decode="yolox", task_args={"threshold": 0.4}
    )
    source = zoo.resolve("module:factory", options)
    said = {
        "options.input_shape": "edge-scnet.toml",
        "options.input_size": "command line",
        "options.decode": "command line",
        "options.task_args": "edge-scnet.toml",
    }
    found = {value.name: value for value in of_model(source, said)}
    assert found["input_shape"].value == [3, 64, 64]
    assert found["input_shape"].origin == "edge-scnet.toml; command line (input_size)"
    assert found["task.kind"].value == "detection"
    assert found["task.kind"].origin == "command line (decode)"
    assert found["task.arguments"].origin == "edge-scnet.toml (task_args); command line (decode)"
