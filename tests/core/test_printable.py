"""What may be shown of a text that anybody may have written."""

from __future__ import annotations

import json

import pytest

from edge_scnet.core.printable import printable, printable_json, printable_lines
from tests.helpers.hostile import ALL, NAMES, check_fit


@pytest.mark.parametrize("name", NAMES)
def test_names_lose_what_is_obeyed_and_stay_on_their_line(name: str) -> None:
    for text in (name, f"before {name}", f"{name}{name}"):
        shown = printable(text)
        check_fit(shown)
        assert "\n" not in shown and printable(shown) == shown


def test_what_is_fit_stays_as_it_is() -> None:
    for text in (
        "",
        "Ankle boot",
        "Größe 3 × 4, 中文, 👩‍🚀, \u0440\u0443\u0441",
        "a::b # c",
        "  x",
        "\\n",
    ):
        assert printable(text) == text
    assert printable("a\n\tb") == "a b" and printable("\x1b[0m") == "\\x1b[0m"
    assert printable("bild\udce9") == "bild\\udce9"


def test_the_lines_of_a_message_are_indented_behind_the_first() -> None:
    assert printable_lines("lowered:\n  top-1\nhint: rm\n\n::x") == (
        "lowered:\n  top-1\n  hint: rm\n\n  \\::x"
    )
    check_fit(printable_lines(ALL))


def test_json_means_the_same() -> None:
    value = {name: [name, "\U000e0041\udce9"] for name in NAMES}
    for text in (json.dumps(value, indent=1), json.dumps(value, indent=1, ensure_ascii=False)):
        shown = printable_json(text)
        check_fit(shown)
        assert json.loads(shown) == value
