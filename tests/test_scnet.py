"""The network against the official keys, shapes and parameter counts, and against golden logits
(rule: `golden_array`).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_scnet.scnet import ARCHITECTURES, Design, SCNet, scnet20, scnet29, scnet50, scnet50_v1d

HERE = Path(__file__).parent
GOLDENS: dict[str, Any] = json.loads((HERE / "goldens.json").read_text())
PUBLISHED = HERE.parents[1] / "shared" / "reference" / "scnet_golden.json"
TOLERANCE = 1e-4  # of the logits' standard deviation
CONSTRUCTORS = {
    **ARCHITECTURES,
    "scnet50_dilated": lambda: scnet50(dilated=True),
    "scnet20_grey": lambda: scnet20(in_channels=1),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Beside another busy process two threads wait for each other: 7 s instead of 0.3 s a forward
    pass.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def golden_array(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of the state dict by the goldens' rule: drawn from a generator seeded with its key's
    crc32.
    """
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_var"):
        array = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("running_mean"):
        array = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 4:
        array = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif len(shape) == 2:
        array = rng.standard_normal(shape) / np.sqrt(shape[1])
    else:
        array = (
            rng.uniform(0.5, 1.0, shape)
            if key.endswith("weight")
            else 0.1 * rng.standard_normal(shape)
        )
    return array.astype(np.float32)


def fill_golden(model: SCNet) -> SCNet:
    state = {
        key: torch.from_numpy(golden_array(key, tuple(value.shape)))
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def shapes_only(constructor: Callable[..., SCNet], **options: Any) -> SCNet:
    """On the meta device nothing is computed but shapes: drawing 25 million first weights takes
    seconds.
    """
    with torch.device("meta"):
        return constructor(**options).eval()


def own_keys(model: SCNet) -> list[list[Any]]:
    return [
        [k, list(v.shape)]
        for k, v in model.state_dict().items()
        if not k.endswith("num_batches_tracked")
    ]


def test_every_architecture_has_goldens():
    assert set(GOLDENS) == set(CONSTRUCTORS)


@pytest.mark.parametrize("name", [*GOLDENS])
def test_parameters_keys_and_shapes_are_the_official_ones(name: str):
    model = shapes_only(CONSTRUCTORS[name])
    assert sum(p.numel() for p in model.parameters()) == GOLDENS[name]["parameters"]
    # dilation changes neither keys nor shapes: the same checkpoint serves
    expected = GOLDENS[name.removesuffix("_dilated")]["state_dict"]
    found = own_keys(model)
    assert (found[:4], found[-4:], len(found)) == (
        expected["first"],
        expected["last"],
        expected["count"],
    )
    assert hashlib.sha256(json.dumps(found).encode()).hexdigest() == expected["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, entry in GOLDENS.items() if "golden" in entry])
def test_golden_logits(name: str):
    golden = GOLDENS[name]["golden"]
    model = fill_golden(shapes_only(CONSTRUCTORS[name]))
    images = np.random.default_rng(2020).standard_normal(golden["input_shape"]).astype(np.float32)
    with torch.inference_mode():
        logits = model(torch.from_numpy(images)).double().numpy()
    assert list(logits.shape) == golden["logits_shape"]
    assert logits.argmax(1).tolist() == golden["argmax"]
    # 1e-5: the figures are rounded to five decimals
    allowed = TOLERANCE * golden["std"] + 1e-5
    assert np.abs(logits[:, :8] - golden["first8"]).max() <= allowed
    assert abs(logits.mean() - golden["mean"]) <= allowed
    assert abs(logits.std() - golden["std"]) <= allowed


@pytest.mark.skipif(
    not PUBLISHED.is_file(), reason=f"{PUBLISHED} is not here (it is outside the repository)"
)
def test_the_committed_goldens_are_the_published_ones():
    published = json.loads(PUBLISHED.read_text())
    assert set(published) == set(GOLDENS)
    for name, entry in published.items():
        own = GOLDENS[name]
        assert own["parameters"] == entry["parameters"]
        if "state_dict" in entry:
            assert (
                own["state_dict"]["sha256"]
                == hashlib.sha256(json.dumps(entry["state_dict"]).encode()).hexdigest()
            )
        for golden in entry.get("golden", []):
            assert {k: own["golden"][k] for k in golden if k != "input_size"} == {
                k: v for k, v in golden.items() if k != "input_size"
            }


@pytest.mark.parametrize(
    ("options", "strides"),
    [
        ({}, (8, 16, 32)),
        ({"dilation": 2}, (8, 16, 16)),
        ({"dilated": True}, (8, 8, 8)),
        ({"dilation": 4}, (8, 8, 8)),
    ],
)
def test_feature_outputs_of_a_backbone(options: dict[str, Any], strides: tuple[int, ...]):
    model = shapes_only(scnet50, features=("layer2", "layer3", "layer4"), **options)
    assert not [key for key in model.state_dict() if key.startswith("fc.")]
    with torch.inference_mode():
        outputs = model(torch.zeros(1, 3, 128, 128, device="meta"))
    assert isinstance(outputs, tuple)
    wanted = [
        (1, channels, 128 // s, 128 // s)
        for channels, s in zip((512, 1024, 2048), strides, strict=True)
    ]
    assert [tuple(o.shape) for o in outputs] == wanted


def test_features_are_the_classifiers_own_stages_in_the_order_asked():
    classifier, backbone = fill_golden(scnet20()), scnet20(features=("layer3", "layer1")).eval()
    missing = backbone.load_state_dict(
        {k: v for k, v in classifier.state_dict().items() if not k.startswith("fc.")}
    )
    assert not missing.missing_keys
    x = torch.from_numpy(
        np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    )
    with torch.inference_mode():
        last, first = backbone(x)
        assert (first.shape, last.shape) == ((2, 64, 32, 32), (2, 256, 8, 8))
        torch.testing.assert_close(classifier.fc(last.mean((2, 3))), classifier(x))


def test_dilation_2_has_output_stride_16_and_half_the_rate_in_its_first_block():
    stage = shapes_only(scnet50, dilation=2).layer4
    assert [block.k1[0].dilation for block in stage] == [(1, 1), (2, 2), (2, 2)]
    assert [block.scconv.k4[0].dilation for block in shapes_only(scnet50, dilated=True).layer4] == [
        (2, 2),
        (4, 4),
        (4, 4),
    ]
    assert all(block.k1[0].stride == (1, 1) for block in stage)


def test_classes_and_channels():
    model = scnet29(num_classes=7, in_channels=4)
    assert (model.fc.out_features, model.conv1.in_channels) == (7, 4)
    assert shapes_only(scnet50_v1d, num_classes=3).fc.weight.shape == (3, 2048)
    assert shapes_only(scnet50, in_channels=1).conv1.weight.shape == (64, 1, 7, 7)


def test_the_smallest_input_is_97_pixels():
    model = shapes_only(scnet50, num_classes=2)
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 97, 97, device="meta")).shape == (1, 2)
        with pytest.raises(RuntimeError, match="too small"):
            model(torch.zeros(1, 3, 96, 96, device="meta"))


def test_what_is_refused():
    with pytest.raises(ValueError, match="dilation must be 1, 2 or 4, got 3"):
        scnet50(dilation=3)
    with pytest.raises(
        ValueError,
        match=r"unknown feature stage 'layer5'; stages are layer1, layer2, layer3, layer4",
    ):
        scnet50(features=("layer2", "layer5"))
    with pytest.raises(
        ValueError, match="unknown feature stage 'layer4'; stages are layer1, layer2, layer3"
    ):
        scnet20(features=("layer4",))
    with pytest.raises(ValueError, match="stem must be 7x7, deep or 3x3, got '5x5'"):
        SCNet((1,), Design(stem="5x5"))
