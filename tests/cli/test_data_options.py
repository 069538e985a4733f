"""Options that say how sets are read: they become settings of the sets that they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from edge_scnet.cli.data_options import with_data_options
from edge_scnet.cli.options import Calib, Eval
from edge_scnet.errors import DataError
from tests.helpers.tool import run_app

CALLS: list[dict[str, Any]] = []


@with_data_options
def command(calib: Calib = None, evaluation: Eval = None, other: int = 3) -> None:
    CALLS.append({"calib": calib, "evaluation": evaluation, "other": other})


def called(*arguments: str) -> tuple[int, str, dict[str, Any]]:
    app = typer.Typer()
    app.command()(command)
    CALLS.clear()
    result = run_app(arguments, of=app, env={"COLUMNS": "200", "TERM": "dumb"})
    return result.exit_code, result.output, CALLS[0] if CALLS else {}


def test_without_options_names_are_what_they_were():
    assert called("--calib", "a b/c", "--other", "4")[2] == {
        "calib": "a b/c",
        "evaluation": None,
        "other": 4,
    }


def test_options_go_to_the_sets_that_they_are_for():
    given = called(
        "--calib", "folder", "--eval", "l.csv?label=x", "--columns", "path=file,values=x1;y1"
    )[2]
    assert given["calib"] == "folder"
    assert given["evaluation"] == "l.csv?label=x&path=file&values=x1,y1"
    given = called("--calib", "l.csv", "--eval", "a.json", "--images", "pictures")[2]
    place = Path.cwd() / "pictures"
    assert given["calib"] == f"l.csv?images={place}"
    assert given["evaluation"] == f"a.json?images={place}"
    given = called("--calib", "folder", "--eval", "m:f?n=1", "--drop-duplicates")[2]
    assert given["calib"] == "folder?duplicates=drop"
    assert given["evaluation"] == "m:f?n=1&duplicates=drop"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--calib", "folder", "--columns", "label=x"), "--columns is for lists"),
        (("--calib", "folder", "--images", "x"), "--images is for lists"),
        (("--drop-duplicates",), "--drop-duplicates is for sets that are named"),
        (("--calib", "l.csv", "--columns", "labl=x"), "'labl=x' names no column"),
    ],
)
def test_options_that_are_for_no_set(arguments: tuple[str, ...], message: str):
    code, output, _ = called(*arguments)
    assert code == 2 and message in output.replace("\n", " ")


def test_columns_that_one_set_lacks_are_said_for_the_other():
    message = "cal.csv has no column 'x1'"

    def fails(calib: Calib = None, evaluation: Eval = None) -> None:
        raise DataError(message, hint="its columns are path")

    given = {"calib": "cal.csv", "evaluation": "ev.csv", "images": None, "drop_duplicates": False}
    with pytest.raises(DataError) as caught:
        with_data_options(fails)(**given, columns={"values": "x1,y1"})
    assert caught.value.hint == (
        "--columns is for both sets; settings behind a name are for one: in place of it --eval"
        " 'ev.csv?values=x1,y1'"
    )
    with pytest.raises(DataError) as caught:
        with_data_options(fails)(**given, columns=None)
    assert caught.value.hint == "its columns are path"
