"""TOML to records: every wrong value of a bound is refused, and the right key is suggested."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
import pytest
from msgspec import Meta

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.project import Project
from edge_scnet.config.schema import Filled, VersionText, check_values, read_table, read_toml
from edge_scnet.config.target import Board, Gates, QuantScheme, TargetSpec, load_target
from edge_scnet.errors import TargetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    version: VersionText = "1"
    depth: Annotated[int, Meta(ge=1, le=9)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    name: Filled = "file"
    title: Filled
    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    table: Table | None = None

    def __post_init__(self) -> None:
        check_values(self)


def message(table: dict[str, Any], prefix: str = "") -> str:
    with pytest.raises(TargetError) as caught:
        read_table(File, table, prefix=prefix)
    return caught.value.message


def test_a_table_becomes_a_record() -> None:
    made = read_table(File, {"title": "t", "share": 1, "table": {"version": "10.3.0"}})
    assert made == File(title="t", share=1.0, table=Table(version="10.3.0"))
    assert isinstance(made.share, float) and read_table(File, {"title": "t", "table": None})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"title": "t", "titel": "t"}, "unknown key titel; did you mean title?\nallowed: title, s"),
        ({"title": "t", "depht": 1}, "unknown key depht; did you mean table.depth?"),
        ({"title": "t", "table": {"tittle": 1}}, "unknown key table.tittle; did you mean title?"),
        ({"title": "t", "zzzz": 1}, "unknown key zzzz\nallowed: title, share, table"),
        ({}, "the key title is missing"),
        ({"title": "t", "table": 3}, "table is 3; it must be a table: [table]"),
        ({"title": "t", "table": {"version": "ten"}}, 'it must be a version like "10.3"'),
        ({"title": "t", "table": {"version": "1.2.3.4.5"}}, 'table.version is "1.2.3.4.5"; it'),
        ({"title": "t", "share": float("nan")}, "share is nan; allowed: above 0, at most 1"),
        ({"title": "\t"}, "it must not be empty"),
    ],
)
def test_what_a_table_may_not_hold(table: dict[str, Any], words: str) -> None:
    assert words in message(table)


def test_a_prefix_stands_before_every_key() -> None:
    assert message({"titel": "t"}, "a.b").startswith("unknown key a.b.titel; did you mean a.b.titl")
    assert message({}, "a.b") == "the key a.b.title is missing"
    assert message({"title": 3}, "a.b") == "a.b.title is 3; it must be a text in quotes"


def test_values_set_in_code_are_checked_too() -> None:
    with pytest.raises(TargetError, match="share is 2; allowed"):
        File(title="t", share=2)
    assert isinstance(File(title="t", share=1).share, float)


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for data, words in ((b"a = ", "not valid TOML: "), (b'a = "\xff"', "not UTF-8 text (byte 5)")):
        path.write_bytes(data)
        with pytest.raises(TargetError) as caught:
            read_toml(path)
        assert words in caught.value.message and str(path) in caught.value.message
    with pytest.raises(TargetError, match=r"cannot read .*: no such file"):
        read_toml(tmp_path / "b.toml")


def bounded(record: type) -> list[tuple[str, Meta]]:
    """The fields of a record with bounds, and these."""
    found = []
    for name, kind in get_type_hints(record, include_extras=True).items():
        kinds = [kind, *get_args(kind), *(arm for part in get_args(kind) for arm in get_args(part))]
        metas = [meta for part in kinds for meta in getattr(part, "__metadata__", ())]
        found += [(name, meta) for meta in metas if isinstance(meta, Meta) and meta.le is not None]
    return found


RECORDS = (QuantScheme, Gates, Board, TargetSpec, Project, ModelOptions)
BOUNDS = [(record, *bound) for record in RECORDS for bound in bounded(record)]


def test_bounds_are_found() -> None:
    assert len(BOUNDS) > 20 and {record for record, *_ in BOUNDS} == set(RECORDS)


@pytest.mark.parametrize(("record", "name", "meta"), BOUNDS)
def test_every_bound_refuses_what_lies_beyond_it(record: type, name: str, meta: Meta) -> None:
    kind = get_type_hints(record, include_extras=True)[name]
    low = meta.ge if meta.ge is not None else meta.gt
    assert low is not None and meta.le is not None
    inside, beyond = [meta.le], [meta.le + 1, low - 1]
    (inside if meta.ge is not None else beyond).append(low)
    for value in inside:
        msgspec.convert(value, kind)
    for value in beyond:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)


def test_every_option_of_a_model_is_described() -> None:
    hints = get_type_hints(ModelOptions, include_extras=True)
    for option in fields(ModelOptions):
        assert hints[option.name].__metadata__[0].description.endswith(".")


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("10.3", True),
        ("10.3.0.26", True),
        ("10.2.99", False),
        ("10.13.3.9.post1", True),
        ("11.0.0-1+cuda12.6", True),
        ("12", False),
        ("12.0.0a1", False),
        ("8.5.2", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_the_versions_that_a_board_takes(version: str, taken: bool) -> None:
    board = load_target("jetson").board
    assert board is not None and (board.tensorrt, board.below) == ("10.3", "12")
    assert board.takes(version) == taken


@pytest.mark.parametrize("name", ["jetson-nano", "Jetson-TX2"])
def test_boards_without_int8_are_refused_by_name(name: str) -> None:
    with pytest.raises(TargetError, match="that GPU computes no INT8") as caught:
        load_target(name)
    assert "--target jetson-fp16" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=" + "[" * 20_000 + "]" * 20_000, "nested too deeply"),
        ("a=" + "[" * 100 + "]" * 100, "nested too deeply"),
        ("opset = " + "9" * 5000, "digit"),
        ("opset = 0x" + "f" * 5000, "opset has more than 18 digits"),
        ('[quant]\nout = "b\\u0000"', "quant.out holds the control character U+0000"),
        ('out = ["a", "b\\u001b"]', "out[1] holds the control character U+001B"),
        ('"\\u0007" = 1', "a key holds the control character U+0007"),
        ("day = 2026-01-01", "day is a date, which no key takes"),
        ("figure = inf", "figure is inf; a number is needed"),
        ('a = "\xff"', "not UTF-8"),
    ],
)
def test_toml_that_no_key_takes(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(TargetError) as caught:
        read_toml(path)
    assert caught.value.message.startswith(f"{path}: ") and words in caught.value.message


def test_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfopset = 17\r\n")
    assert read_toml(path) == {"opset": 17}
