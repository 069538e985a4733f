"""The name of a sample set: its path and settings, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.core.source import Source, parse_source
from edge_scnet.errors import DataError


def test_a_name_without_settings_is_a_path():
    source = parse_source(Path("data") / "val")
    assert (source.where, source.settings, source.text) == ("data/val", {}, "data/val")
    assert not source.is_code


def test_settings_stand_behind_the_path_and_come_back_as_text():
    text = "lists/faces.csv?values=x1,y 1&images=../pictures"
    source = parse_source(text)
    assert source.path == Path("lists/faces.csv")
    assert source.columns("values") == ("x1", "y 1")
    assert Source(where="a.csv", settings={"values": "x;y,z"}).columns("values") == ("x", "y", "z")
    assert (source.text, parse_source(source.text)) == (text, source)
    assert source.with_setting("label", "a&b").text == f"{text}&label=a%26b"
    assert parse_source(f"{text}&label=a%26b").settings["label"] == "a&b"


def test_a_path_with_a_question_mark_that_exists_is_a_path(tmp_path: Path):
    (tmp_path / "what?").mkdir()
    assert parse_source(tmp_path / "what?") == Source(where=str(tmp_path / "what?"))


def test_a_function_keeps_its_place_and_its_own_arguments(tmp_path: Path):
    source = parse_source("package.module:samples?split=val&duplicates=drop")
    assert source.is_code and source.settings == {"split": "val", "duplicates": "drop"}
    assert source.below(tmp_path) == source == source.resolved()
    assert parse_source("a.csv?label=x").below(tmp_path).text == f"{tmp_path / 'a.csv'}?label=x"
    assert parse_source("a.csv?label=x").resolved().text == f"{Path.cwd() / 'a.csv'}?label=x"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a.csv?colums=x", "unknown setting colums", "the settings are path, label"),
        ("a.csv?vales=x", "unknown setting vales; did you mean values?", "the settings are"),
        ("a.csv?label", "'label' is no setting; wanted is NAME=VALUE", "quote it for the shell"),
        ("a.csv?label=", "'label=' is no setting", "quote it"),
        ("a.csv?label=x&label=y", "label is given twice", "leave one out"),
        ("a.json?as=polygons", "as is 'polygons'; allowed: boxes, mask, keypoints", "as: what is"),
        ("d?duplicates=yes", "duplicates is 'yes'; allowed: drop, keep", "duplicates: drop"),
    ],
)
def test_settings_that_cannot_be_used(text: str, message: str, hint: str):
    with pytest.raises(DataError) as e:
        parse_source(text)
    assert message in e.value.message and hint in (e.value.hint or "")
