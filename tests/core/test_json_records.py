"""Records from JSON: what fits is read, and what does not is told by its place."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from edge_scnet.core.json_records import (
    RecordError,
    convert,
    decode,
    encode_pretty,
    loads,
    read_json,
    record_type,
    show,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    share: Annotated[float, Meta(ge=0, le=1)]
    above: Annotated[Annotated[float, Meta(gt=0, le=5)] | None, Meta(description="of it")] = None
    names: tuple[Annotated[str, Meta(pattern=r"\S", extra={"rule": "it must have one"})], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    count: int
    kind: Literal["b", "a"] = "a"
    inner: Inner | None = None
    rows: tuple[Inner, ...] = ()
    by_name: dict[str, float] = field(default_factory=dict)
    flag: bool = False
    anything: Any = None


WHOLE = Outer(
    count=3,
    kind="b",
    inner=Inner(share=0.5, names=("x", "y")),
    rows=(Inner(share=1.0, above=2.5), Inner(share=0.0)),
    by_name={"a": 1.0},
    flag=True,
)


def test_a_record_survives_json():
    text = encode_pretty(WHOLE)
    assert text.endswith("}\n") and text.startswith('{\n "count": 3,')
    assert decode(Outer, text) == decode(Outer, text.encode()) == WHOLE


def test_fields_may_be_missing_or_of_another_version_and_whole_numbers_become_floats():
    made = convert(Outer, {"count": 1, "by_name": {"a": 2}, "of_the_future": [1]})
    assert made == Outer(count=1, by_name={"a": 2.0}) and isinstance(made.by_name["a"], float)
    assert convert(Outer | None, None) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o.pop("count"), "count is missing"),
        (lambda o: o["inner"].pop("share"), "inner.share is missing"),
        (lambda o: o.update(count=1.0), "count is 1.0; it must be a whole number"),
        (lambda o: o.update(count=True), "count is true; it must be a whole number"),
        (lambda o: o.update(count=None), "count is null; it must be a whole number"),
        (lambda o: o.update(flag=1), "flag is 1; it must be true or false"),
        (lambda o: o.update(kind="c"), 'kind is "c"; allowed: "b", "a"'),
        (lambda o: o.update(kind=3), 'kind is 3; allowed: "b", "a"'),
        (lambda o: o.update(inner=3), "inner is 3; it must be a table"),
        (lambda o: o["inner"].update(share=-1), "inner.share is -1; allowed: 0 to 1"),
        (
            lambda o: o["rows"][0].update(above=0),
            "rows[0].above is 0; allowed: above 0, at most 5",
        ),
        (lambda o: o["rows"][1].pop("share"), "rows[1].share is missing"),
        (
            lambda o: o["inner"].update(names=["x", " "]),
            'inner.names is ["x", " "]; an entry is wrong: it must have one',
        ),
        (lambda o: o["inner"].update(names="x"), 'inner.names is "x"; it must be an array'),
        (lambda o: o.update(rows={}), "rows is a table; it must be an array"),
        (
            lambda o: o.update(by_name={"a": "b"}),
            "by_name is a table; an entry is wrong: it must be a number",
        ),
    ],
)
def test_a_fault_is_told_by_its_place(change: Callable[[dict[str, Any]], Any], message: str):
    content = json.loads(encode_pretty(WHOLE))
    change(content)
    with pytest.raises(RecordError) as caught:
        convert(Outer, content)
    assert str(caught.value) == message
    with pytest.raises(RecordError) as caught:
        convert(Outer, content, path="of.file")
    assert str(caught.value) == f"of.file.{message}"


@pytest.mark.parametrize("value", [[], 3, None, "x"])
def test_something_else_than_a_record(value: Any):
    with pytest.raises(RecordError, match="it must be a table") as caught:
        convert(Outer, value)
    assert (caught.value.path, caught.value.missing, caught.value.is_record) == ("", False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"count": NaN}', "a figure in it is NaN"),
        ('{"count": -Infinity}', "a figure in it is -Infinity"),
        ('{"count": 1e400}', "a figure in it is 1e400"),
        (f'{{"anything": {"1" * 19}}}', "a figure in it has 19 digits"),
        (f'{{"anything": {"1" * 5000}}}', "a figure in it has 5000 digits"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"count": 1', "Expecting"),
        ("", "Expecting"),
    ],
)
def test_what_is_no_json_or_no_figure_is_refused(tmp_path: Any, text: str, message: str):
    path = tmp_path / "a.json"
    path.write_text(text)
    for read in (lambda: read_json(path), lambda: decode(Outer, text)):
        with pytest.raises(ValueError, match=message):
            read()
    assert decode(Outer, '{"count": 123456789012345678}').count == 123456789012345678


def test_what_no_json_holds_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_pretty(Inner(share=float("nan")))


def test_values_are_shown_as_a_file_spells_them_and_cut():
    assert [show(value) for value in (None, True, "a", 1.5, (1, "b"), {"a": 1}, float("inf"))] == [
        "null",
        "true",
        '"a"',
        "1.5",
        '[1, "b"]',
        "a table",
        "inf",
    ]
    assert show("x" * 1000) == f'"{"x" * 199}...' and len(show(list(range(sys.maxunicode)))) < 300


def test_the_record_in_an_annotation():
    assert record_type(Inner | None) is record_type(Annotated[Inner, Meta(title="x")]) is Inner
    assert record_type(int | None) is None and record_type(tuple[Inner, ...]) is None


@pytest.mark.parametrize("depth", [65, 500, 100_000])
def test_nesting_has_an_end_before_pythons(depth: int) -> None:
    assert loads("[" * 60 + "]" * 60)
    for text in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        with pytest.raises(ValueError, match="nested too deeply"):
            loads(text)


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="5000 digits"):
        loads("9" * 5000)


def test_names_that_are_not_utf_8_are_written_with_escapes() -> None:
    """Other programs refuse or change what is no character; characters stay as they are."""
    content = {"bild\udce9.png": ["\udcff", "ä", "\U0001f480", 1.5], "a": "\\udce9"}
    written = json.loads(encode_pretty(content))
    assert written == {
        "bild\\udce9.png": ["\\udcff", "ä", "\U0001f480", 1.5],
        "a": "\\udce9",
    }


def test_a_key_that_is_no_unicode_is_told() -> None:
    with pytest.raises(RecordError, match=r"holds the key '\\ud800x', which is no Unicode"):
        decode(Outer, '{"count": 1, "\\ud800x": 2}')
