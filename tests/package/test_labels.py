"""Label files, read as the servers read them: each name has its place, whatever is in it."""

from __future__ import annotations

import json

import pytest

from edge_scnet.core.printable import escaped
from edge_scnet.package import labels
from tests.helpers.hostile import check_fit
from tests.helpers.served import HOSTILE


def triton_reads(text: str) -> list[str]:
    """As `LabelProvider::AddLabels` of triton-inference-server/core: std::getline."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def nvinfer_reads(text: str) -> list[list[str]]:
    """As `InferPostprocessor::parseLabelsFile` of DeepStream: groups of names."""
    return [line.split(";") for line in text.split("\n") if line]


def test_json_has_every_name_as_it_is_and_nothing_that_is_obeyed() -> None:
    text = labels.json_names(HOSTILE)
    assert tuple(json.loads(text)) == HOSTILE
    check_fit(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_each_name_is_one_line_for_triton(name: str) -> None:
    text = labels.by_line(["before", name, "after"])
    assert triton_reads(text) == ["before", escaped(name), "after"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("one_line", [True, False])
def test_each_name_has_its_place_for_nvinfer(name: str, one_line: bool) -> None:
    text = labels.for_nvinfer(["before", name, "after"], one_line=one_line)
    groups = nvinfer_reads(text)
    if one_line:
        assert len(groups) == 1
        found = groups[0]
    else:
        assert all(len(group) == 1 for group in groups)
        found = [group[0] for group in groups]
    assert len(found) == 3
    assert (found[0], found[2]) == ("before", "after")
    assert found[1] == (escaped(name).replace(";", "\\x3b") if name.strip() else "(class 1)")


def test_a_class_without_a_name_alone_is_no_empty_file_for_nvinfer() -> None:
    assert nvinfer_reads(labels.for_nvinfer([""], one_line=True)) == [["(class 0)"]]


def test_names_that_a_file_can_hold_stand_as_they_are() -> None:
    names = ["T-shirt/top", "Größe, 大きい, 🐧", "# first", 'a "b" \\ c']
    assert labels.by_line(names) == "".join(f"{name}\n" for name in names)
    assert labels.for_nvinfer(names, one_line=True) == ";".join(names) + "\n"
    assert labels.rewritten_words(names, labels.by_line(names)) == ()


def test_what_is_written_otherwise_is_said() -> None:
    names = ["a", "b\nc", "d;e", "", "f\tg", "h\ri"]
    text = labels.for_nvinfer(names, one_line=True)
    (words,) = labels.rewritten_words(names, text, separator=";")
    assert words.startswith("`labels.txt` cannot hold 5 of 6 names as they are: class 1 is written")
    assert "`b\\nc`" in words
    assert words.endswith(", ...; `labels.json` has them.")
