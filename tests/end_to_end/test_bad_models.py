"""Models that `build` refuses: the exit code, a message worth reading, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.refusals import CHECKPOINT
from tests.helpers.tool import MODEL, Built, Run


@pytest.fixture
def sets(calib_120: Path, eval_600: Path) -> tuple[object, ...]:
    return ("--calib", calib_120, "--eval", eval_600)


def bundled_weights() -> Path:
    from edge_scnet.models import zoo

    return Path(zoo.__file__).parent / "weights" / str(zoo.FASHION_MNIST.weights)


def test_unknown_models(refused: Run) -> None:
    refused(6, ("unknown model 'scnet20-fashion'", f"did you mean '{MODEL}'?"), "scnet20-fashion")
    refused(6, ("unknown model '../scnet'",), "../scnet")
    refused(6, ("no such file: absent.onnx",), "absent.onnx")


def test_a_checkpoint_without_its_architecture_or_images(refused: Run) -> None:
    refused(6, ("which architecture", "--arch", "scnet20"), bundled_weights())
    outcome = refused(4, ("has no bundled images", "--calib"), bundled_weights(), *CHECKPOINT)
    assert outcome.hint.endswith("--calib DIR --eval DIR")


def test_a_model_name_that_leaves_the_folder(refused: Run, sets: tuple[object, ...]) -> None:
    for name in ("../x", "a/b", "..", ".hidden"):
        outcome = refused(
            6,
            (f"the model name {name!r}", "letters, digits"),
            bundled_weights(),
            *CHECKPOINT,
            *sets,
            "--name",
            name,
        )
        assert "--name" in outcome.hint


def test_nan_and_infinite_weights(refused: Run, sets: tuple[object, ...], tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    state = load_file(bundled_weights())
    state["conv1.weight"][3, 0, 1, 1] = np.nan
    state["conv1.weight"][4, 0, 1, 1] = np.inf
    path = tmp_path / "nan.safetensors"
    save_file(state, path)
    refused(
        6,
        (str(path), "'conv1.weight' holds 2 NaN or infinite values of 144"),
        path,
        *CHECKPOINT,
        *sets,
    )


def test_a_pickle_that_is_no_state_dict(
    refused: Run, sets: tuple[object, ...], tmp_path: Path
) -> None:
    import torch

    path = tmp_path / "list.pth"
    torch.save([1, 2, 3], path)
    refused(6, (f"{path} is not a state dict: found list",), path, *CHECKPOINT, *sets)
    torch.save({"epoch": 3, "optimizer": {}}, path)
    refused(6, (f"{path} is not a state dict: found epoch, optimizer",), path, *CHECKPOINT, *sets)


def test_a_pickle_that_would_run_code(
    refused: Run, sets: tuple[object, ...], tmp_path: Path
) -> None:
    import pickle

    path, trace = tmp_path / "code.pth", tmp_path / "ran"

    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trace),)

    path.write_bytes(pickle.dumps(Code()))
    words = (f"{path} is a pickled module, which is not read: it is code as well as weights",)
    refused(6, words, path, *CHECKPOINT, *sets)
    assert not trace.exists()


def test_a_truncated_checkpoint(refused: Run, sets: tuple[object, ...], tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(bundled_weights().read_bytes()[:5000])
    refused(
        6, (f"{path} is not a checkpoint of plain weights", "truncated"), path, *CHECKPOINT, *sets
    )


def test_a_checkpoint_of_another_shape(refused: Run, sets: tuple[object, ...]) -> None:
    other = (*CHECKPOINT[:3], "11", *CHECKPOINT[4:])
    outcome = refused(
        6, ("does not fit scnet20", "2 wrongly shaped", "fc.bias"), bundled_weights(), *other, *sets
    )
    assert "--num-classes 10" in outcome.hint


def test_a_truncated_onnx_file(
    refused: Run, built: Built, sets: tuple[object, ...], tmp_path: Path
) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes((built.folder / "model.onnx").read_bytes()[:200_000])
    refused(6, (f"{path} is not a valid ONNX file", "200,000 bytes"), path, *sets)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("../weights.bin", "outside the model's folder"),
        ("/etc/hostname", "outside the model's folder"),
        ("link.bin", "link"),
    ],
)
def test_onnx_data_outside_its_folder(
    refused: Run, sets: tuple[object, ...], tmp_path: Path, place: str, reason: str
) -> None:
    import onnx
    from onnx import TensorProto, helper

    weight = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[1, 1, 1, 1], data_location=TensorProto.EXTERNAL
    )
    weight.external_data.add(key="location", value=place)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 28, 28])],
        [weight],
    )
    path = tmp_path / "models" / "outside.onnx"
    path.parent.mkdir()
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4)
    (path.parent / "link.bin").symlink_to(tmp_path / "weights.bin")
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 17)]
        ).SerializeToString()
    )
    refused(6, (str(path), "'w'", repr(place), reason), path, *sets)
