"""The text of a project file: what TOML reads back is what was written."""

from __future__ import annotations

from typing import Any

import pytest
import tomllib

from edge_scnet.config.project_file import Entry, text_of, toml
from edge_scnet.errors import TargetError


@pytest.mark.parametrize(
    "value",
    [
        True,
        3,
        0.5,
        1e-08,
        "",
        'a "quoted" \\ path\nof two lines',
        "right \u202eto\u202c left \U000e0041",
        "T-shirt/top, ø 日本",
        [],
        [0.485, 0.456],
        ["a", "b"],
        [f"class number {i}" for i in range(40)],
        {"width": 0.5, "odd name": [1, {"deep": "x"}], "empty": {}},
    ],
)
def test_values_are_read_back_as_they_were(value: Any) -> None:
    assert tomllib.loads(f"key = {toml(value, 'key')}") == {"key": value}


def test_what_toml_has_not_is_refused() -> None:
    with pytest.raises(TargetError) as caught:
        toml({"width": None}, "factory_args")
    assert "factory_args: null cannot be written" in caught.value.message and caught.value.hint


@pytest.mark.parametrize("text", ["\x1b[31m", "a\x7f", "\x85", "\udce9"])
def test_what_a_project_file_may_not_hold_is_not_written(text: str) -> None:
    with pytest.raises(TargetError, match=r"model: .* which no project file may hold"):
        toml([text], "model")


def entry(table: str, key: str, value: Any, *, is_set: bool = True) -> Entry:
    meaning = f"What {key} means, at a length that takes more than the hundred columns of a line,"
    meaning += " with what follows."
    return Entry(
        table=table,
        key=key,
        value=value,
        meaning=meaning,
        origin="read from the file",
        is_set=is_set,
    )


def test_every_line_has_its_comment_and_what_is_not_known_is_one() -> None:
    names = tuple(f"class number {i}" for i in range(20))
    text = text_of(
        ["A heading."],
        [
            entry("", "model", "net.onnx"),
            entry("options", "mean", (0.5,)),
            entry("options", "class_names", names, is_set=False),
        ],
    )
    assert tomllib.loads(text) == {"model": "net.onnx", "options": {"mean": [0.5]}}
    assert max(map(len, text.splitlines())) <= 100 and text.startswith("# A heading.\n")
    assert " ".join(text.split()).count("(read from the file)") == 3
    # without the "#" of its lines the comment is a value
    begin = text.index("# class_names = [")
    free = text[:begin] + text[begin:].replace("# ", "")
    assert tomllib.loads(free)["options"]["class_names"] == list(names)
