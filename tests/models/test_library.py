"""Networks of timm and torchvision by name: small packages in their place, and they themselves."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError, MissingRuntimeError
from edge_scnet.export.probe_torch import probe_torch
from edge_scnet.models.zoo import ModelSource, resolve
from tests.helpers.checkpoints import refused as refused_by

TIMM = """
from torch import nn
from . import data

class Net(nn.Module):
    def __init__(self, num_classes=5, in_chans=3, size=24, mode="center", how="bilinear"):
        super().__init__()
        self.conv_stem = nn.Conv2d(in_chans, 4, 3)
        self.classifier = nn.Linear(4, num_classes)
        self.config = dict(input_size=(in_chans, size, size), interpolation=how, crop_pct=0.875,
                           mean=(0.5, 0.25, 0.125), std=(0.1, 0.2, 0.3), crop_mode=mode)
    def forward(self, x):
        return self.classifier(self.conv_stem(x).mean((2, 3)))

def list_models(include_tags=True):
    return ["tiny_net", "small_net"]

def create_model(name, pretrained=False, **arguments):
    if pretrained:
        raise OSError("offline")
    return Net(**arguments)
"""
TORCHVISION = """
import enum, warnings
from types import SimpleNamespace
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=5):
        super().__init__()
        self.transform_input = False
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, num_classes)
    def forward(self, x):
        return self.fc(self.conv1(x).mean((2, 3)))

def presets(crop, resize):
    return lambda: SimpleNamespace(crop_size=[crop], resize_size=[resize], mean=[0.5, 0.25, 0.125],
        std=[0.1, 0.2, 0.3], interpolation=SimpleNamespace(value="bilinear"))

class Weights:
    def __init__(self, name, url, crop, resize):
        self.name, self.url, self.transforms = name, url, presets(crop, resize)
        self.meta = {"categories": list("abcde")}

V1 = Weights("IMAGENET1K_V1", "https://host/tiny-1111.pth", 24, 28)
V2 = Weights("IMAGENET1K_V2", "https://host/tiny-2222.pth", 32, 36)

class All(list):
    DEFAULT = V2

def get_model_weights(name):
    return All([V1, V2])

def list_models():
    return ["tiny", "quantized_tiny"]

def get_model(name, weights=None, **arguments):
    if weights is not None:
        raise OSError(f"offline: {weights.url}")
    warnings.warn("the initialisation will be another one", FutureWarning)
    return Net(**arguments)
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Packages of both names that are found first."""
    for name, files in {
        "timm": {
            "__init__.py": TIMM,
            "data.py": "def resolve_model_data_config(model):\n    return model.config\n",
        },
        "torchvision": {"__init__.py": "", "models.py": TORCHVISION},
    }.items():
        (tmp_path / name).mkdir()
        for file, code in files.items():
            (tmp_path / name / file).write_text(code)
    held = {name: module for name, module in sys.modules.items() if _is_ours(name)}
    for name in held:
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if _is_ours(name)]:
        del sys.modules[name]
    sys.modules.update(held)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ("timm", "torchvision")


def source(model: str, **options: Any) -> ModelSource:
    return probe_torch(resolve(model, ModelOptions(**options)))


def refused(model: str, **options: Any) -> ArtifactError:
    """The error of a library's network with these options."""
    return refused_by(lambda: source(model, **options))


def saved(path: Path, **shapes: tuple[int, ...]) -> str:
    torch.save({key.replace("__", "."): torch.ones(shape) for key, shape in shapes.items()}, path)
    return str(path)


def timm_file(folder: Path, classes: int = 5) -> str:
    return saved(
        folder / "weights.pth",
        conv_stem__weight=(4, 3, 3, 3),
        conv_stem__bias=(4,),
        classifier__weight=(classes, 4),
        classifier__bias=(classes,),
    )


def torchvision_file(folder: Path, name: str) -> str:
    return saved(
        folder / name,
        conv1__weight=(4, 3, 3, 3),
        conv1__bias=(4,),
        fc__weight=(5, 4),
        fc__bias=(5,),
    )


def test_timm_s_preprocessing_is_taken(packages: Path):
    found = source("timm:tiny_net", weights=timm_file(packages))
    spec = found.spec
    assert (spec.name, spec.num_classes, spec.input_shape) == ("tiny_net", 5, (3, 24, 24))
    assert (spec.preprocessing.short_side, spec.preprocessing.mean, spec.preprocessing.std) == (
        27,
        (0.5, 0.25, 0.125),
        (0.1, 0.2, 0.3),
    )
    assert found.warnings == () and found.module.classifier.bias[0].item() == 1.0


def test_an_option_goes_before_timm_s_own(packages: Path):
    file = timm_file(packages)
    spec = source("timm:tiny_net", weights=file, mean=(0.0, 0.0, 0.0), resize=30).spec
    assert (spec.preprocessing.mean, spec.preprocessing.std, spec.preprocessing.short_side) == (
        (0.0, 0.0, 0.0),
        (0.1, 0.2, 0.3),
        30,
    )
    # a crop of another size is cut from pictures that are as much larger: timm's crop_pct
    spec = source("timm:tiny_net", weights=file, input_size=40).spec
    assert (spec.input_shape, spec.preprocessing.short_side) == ((3, 40, 40), 45)


def test_timm_s_filter_and_its_stretching_are_done(packages: Path):
    found = source(
        "timm:tiny_net?mode=squash", weights=timm_file(packages), factory_args={"how": "bicubic"}
    )
    rule = found.spec.preprocessing
    assert (rule.resize, rule.interpolation, rule.short_side) == ("stretch", "bicubic", 27)
    assert rule.origin("interpolation") == "timm:tiny_net?mode=squash" and found.warnings == ()


def test_what_cannot_be_done_as_timm_does_is_said(packages: Path):
    found = source(
        "timm:tiny_net?mode=border", weights=timm_file(packages), factory_args={"how": "hamming"}
    )
    assert found.warnings == (
        "timm resizes pictures hamming, here they are resized bilinear",
        "timm prepares pictures by 'border', here the centre is cut out",
    )


def test_weights_of_other_classes_say_what_to_pass(packages: Path):
    error = refused("timm:tiny_net", weights=timm_file(packages, 7))
    assert error.hint == "the checkpoint has 7 classes: pass --num-classes 7"
    assert source("timm:tiny_net", weights=timm_file(packages, 7), num_classes=7).spec.num_classes


def test_weights_of_another_network(packages: Path):
    error = refused("timm:tiny_net", weights=torchvision_file(packages, "weights.safetensors.pth"))
    assert "does not fit tiny_net: 4 missing: classifier.bias" in error.message
    assert "of another network than tiny_net" in str(error.hint)


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("timm:tiny_net", None, "timm:tiny_net has no weights yet: edge-scnet downloads nothing"),
        ("timm:tiny_nt", "default", "timm has no network 'tiny_nt'; did you mean tiny_net"),
        ("timm:tiny_net", "default", "timm cannot get the weights of tiny_net: OSError: offline"),
        ("timm:tiny_net", "best", "--weights best: no such file, and timm:tiny_net has no weights"),
        ("timm:tiny_net", "a/b", "no such file: --weights a/b"),
        ("timm:", "default", "timm:: after timm: or torchvision: the name of a network is wanted"),
        ("timm:hf-hub:x/y", "default", "the name of a network is wanted"),
        ("timm:tiny_net?size=no", "default", "timm cannot get the weights of tiny_net"),
        ("torchvision:tinny", "default", "torchvision has no network 'tinny'; did you mean tiny"),
        ("torchvision:tiny", "V3", "torchvision:tiny has no weights of that name"),
        ("torchvision:tiny", "pretrained", "OSError: offline: https://host/tiny-2222.pth"),
        ("torchvision:tiny", "IMAGENET1K_V1", "OSError: offline: https://host/tiny-1111.pth"),
        ("torchvision:quantized_tiny", "default", "is quantized already"),
    ],
)
def test_names_and_weights_that_are_not_there(
    packages: Path, model: str, weights: str | None, message: str
):
    assert message in refused(model, weights=weights).message


def test_torchvision_s_preprocessing_is_that_of_the_file(packages: Path):
    found = source("torchvision:tiny", weights=torchvision_file(packages, "tiny-1111.pth"))
    spec = found.spec
    assert (spec.input_shape, spec.preprocessing.short_side, spec.preprocessing.mean) == (
        (3, 24, 24),
        28,
        (0.5, 0.25, 0.125),
    )
    assert spec.classes == tuple("abcde") and found.warnings == ()
    # torchvision sets it with weights of its own
    assert found.module.transform_input is True


def test_a_file_of_one_s_own_is_prepared_as_for_the_default(packages: Path):
    found = source("torchvision:tiny", weights=torchvision_file(packages, "mine.pth"))
    assert found.spec.preprocessing.short_side == 36
    assert found.warnings == (
        "mine.pth is no file of torchvision's: preprocessing of IMAGENET1K_V2 is taken",
    )
    assert "takes 3 channels" in (
        refused(
            "torchvision:tiny",
            weights=torchvision_file(packages, "mine.pth"),
            channels=1,
        ).message
    )


@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_a_library_that_cannot_be_imported(packages: Path, name: str):
    (packages / name / "__init__.py").write_text("raise RuntimeError('of another torch')\n")
    with pytest.raises(MissingRuntimeError, match=f"{name} is installed and cannot be imported"):
        source(f"{name}:tiny_net", weights="default")


def test_a_torchvision_that_timm_cannot_import_is_the_one_to_change(packages: Path):
    (packages / "torchvision" / "__init__.py").write_text("raise RuntimeError('no nms')\n")
    (packages / "timm" / "__init__.py").write_text("import torchvision\n")
    with pytest.raises(MissingRuntimeError, match=r"^torchvision is installed") as raised:
        source("timm:tiny_net", weights="default")
    version = torch.__version__.partition("+")[0]
    assert raised.value.hint.endswith(f"pip install --upgrade torchvision torch=={version}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "name", "size"), [("timm", "resnet10t", 176), ("torchvision", "resnet18", 224)]
)
def test_the_libraries_themselves(tmp_path: Path, library: str, name: str, size: int):
    module = pytest.importorskip(library, exc_type=(ImportError, RuntimeError))
    if library == "timm":
        made = module.create_model(name, pretrained=False)
    else:
        made = importlib.import_module("torchvision.models").get_model(name, weights=None)
    torch.save(made.state_dict(), tmp_path / "mine.pth")
    spec = source(f"{library}:{name}", weights=str(tmp_path / "mine.pth")).spec
    assert (spec.input_shape, spec.num_classes) == ((3, size, size), 1000)
    assert (
        spec.preprocessing.mean == (0.485, 0.456, 0.406)
        and spec.preprocessing.short_side is not None
    )


def test_a_shape_that_is_no_square_and_has_other_channels(packages: Path):
    file = saved(
        packages / "grey.pth",
        conv_stem__weight=(4, 1, 3, 3),
        conv_stem__bias=(4,),
        classifier__weight=(5, 4),
        classifier__bias=(5,),
    )
    grey: dict[str, Any] = {"weights": file, "mean": (0.5,), "std": (0.25,)}
    spec = source("timm:tiny_net", input_shape=(1, 30, 24), **grey).spec
    assert (spec.input_shape, spec.preprocessing.mean) == ((1, 30, 24), (0.5,))
    wide = source("timm:tiny_net", weights=timm_file(packages), input_shape=(3, 30, 24)).spec
    assert (wide.input_shape, wide.preprocessing.mean) == ((3, 30, 24), (0.5, 0.25, 0.125))
    error = refused(
        "torchvision:tiny",
        weights=torchvision_file(packages, "tiny-1111.pth"),
        input_shape=(1, 30, 24),
        mean=(0.5,),
        std=(0.25,),
    )
    assert "takes 3 channels, --input-shape says 1" in error.message
