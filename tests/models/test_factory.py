"""Factories: their arguments, what they may be, and what they may do wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.models.factory import Factory, call_factory, parse_factory
from edge_scnet.models.load import load_torch
from edge_scnet.models.zoo import resolve
from tests.helpers.checkpoints import refused

CODE = """
import sys
from torch import nn

def net(width=1.0, name="plain", num_classes=4, deep=False):
    made = nn.Sequential(nn.Conv2d(1, int(8 * width), 3), nn.Linear(1, num_classes))
    made.told = (width, name, deep)
    return made

class Named:
    @staticmethod
    def net():
        return nn.Conv2d(1, 2, 3)

def plain():
    return nn.Conv2d(1, 2, 3)

def quits(code=0):
    sys.exit(code)

class Odd(BaseException):
    pass

def odd():
    raise Odd("strange")

ready = nn.Conv2d(1, 2, 3)
"""


@pytest.fixture
def own(in_folder: Path) -> Path:
    (in_folder / "user_model.py").write_text(CODE)
    return in_folder


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", {}),
        ("?width=0.5", {"width": 0.5}),
        ("?width=2&name=x", {"width": 2, "name": "x"}),
        ("?deep=true&name=null", {"deep": True, "name": None}),
        ("?deep=True&name=None", {"deep": True, "name": None}),
        ("?sizes=[1,2]&name=a%26b=c", {"sizes": [1, 2], "name": "a&b=c"}),
        ("?name=NaN&path=a/b.pth", {"name": "NaN", "path": "a/b.pth"}),
        ("?name=", {"name": ""}),
    ],
)
def test_values_are_json_where_they_can_be_else_text(query: str, arguments: dict[str, Any]):
    assert parse_factory(f"pkg.models:net{query}") == Factory(
        module="pkg.models", attribute="net", arguments=arguments
    )


@pytest.mark.parametrize("query", ["width", "=1", "a-b=1", "width=1&", "width=1&width=2"])
def test_arguments_that_cannot_be_read_are_named(query: str):
    error = refused(resolve, f"user_model:net?{query}", ModelOptions())
    assert "given twice" in error.message or "is no argument" in error.message


def test_a_factory_gets_its_arguments_from_both_places(own: Path):
    options = ModelOptions(factory_args={"name": "x"}, num_classes=7)
    module: Any = load_torch(resolve("user_model:net?width=0.5&deep=True", options))
    assert (module.told, module[0].out_channels, module[1].out_features) == (
        (0.5, "x", True),
        4,
        7,
    )
    assert resolve("user_model:net?width=0.5", options).spec.name == "net"
    error = refused(load_torch, resolve("user_model:net?name=y", options))
    assert "name is given behind the factory's name and in --factory-args" in error.message


def test_the_number_of_classes_is_handed_over_where_it_is_taken(own: Path):
    net, plain = parse_factory("user_model:net"), parse_factory("user_model:plain")
    assert call_factory(net, None, num_classes=3).takes_classes
    assert not call_factory(net, None, num_classes=None).takes_classes
    assert not call_factory(plain, None, num_classes=3).takes_classes
    twice = parse_factory("user_model:net?num_classes=3")
    assert call_factory(twice, None, num_classes=3).takes_classes
    error = refused(lambda: call_factory(twice, None, num_classes=4))
    assert error.message == "user_model:net is given num_classes=3, --num-classes says 4"


def test_a_module_and_a_name_inside_a_class_will_do(own: Path):
    assert isinstance(load_torch(resolve("user_model:ready", ModelOptions())), nn.Conv2d)
    assert isinstance(load_torch(resolve("user_model:Named.net", ModelOptions())), nn.Conv2d)
    error = refused(load_torch, resolve("user_model:ready?width=1", ModelOptions()))
    assert "is a Conv2d already, and takes no arguments" in error.message


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "user_model:quits",
            "user_model:quits cannot be called: it ends the process (SystemExit: 0)",
        ),
        ("user_model:quits?code=7", "it ends the process (SystemExit: 7)"),
        ("user_model:odd", "user_model:odd cannot be called: Odd: strange"),
        ("user_model:net?wdth=2", "got an unexpected keyword argument 'wdth'"),
    ],
)
def test_whatever_a_factory_does_is_one_error(own: Path, location: str, message: str):
    assert message in refused(load_torch, resolve(location, ModelOptions())).message


def test_a_script_without_a_main_guard(own: Path):
    (own / "user_script.py").write_text("import sys\nprint('trained')\nsys.exit(0)\n")
    error = refused(load_torch, resolve("user_script:net", ModelOptions()))
    assert error.message.endswith("(SystemExit: 0) when it is imported")
    assert "if __name__ == '__main__'" in str(error.hint)


def test_ctrl_c_in_a_factory_is_no_error_of_it(own: Path):
    (own / "user_script.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_torch(resolve("user_script:net", ModelOptions()))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("user_model:net", ModelOptions(arch="scnet20"), "--arch is for checkpoints"),
        ("user_model:net", ModelOptions(weights="a.pth"), "--weights is for timm:NAME"),
        ("scnet20", ModelOptions(factory_args={"a": 1}), "--factory-args is for"),
    ],
)
def test_options_for_other_models_are_refused(model: str, options: ModelOptions, message: str):
    assert message in refused(resolve, model, options).message
