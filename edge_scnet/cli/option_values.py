"""Texts of the command line as the values that options take: lists, shapes, numbers, JSON.

Each raises typer.BadParameter, which says what is found and what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import typer

from edge_scnet.config.expectation import expectation as check_expectation
from edge_scnet.core.json_records import MOST_DIGITS, loads


def batch(text: str) -> int | Literal["dynamic"]:
    """A batch: a whole number from 1, or "dynamic"."""
    if text == "dynamic":
        return "dynamic"
    if _is_count(text):
        return int(text)
    raise typer.BadParameter(f"{text!r} is neither a whole number from 1 nor 'dynamic'")


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number in ASCII digits, of a length that arithmetic takes."""
    return text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS


def _is_count(text: str) -> bool:
    return _is_whole(text) and int(text) > 0


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 1, as in 1,2,4,8."""
    parts = text.split(",")
    if not all(map(_is_count, parts)):
        raise typer.BadParameter(f"{text!r} is no list of whole numbers from 1, like 1,2,4,8")
    return tuple(map(int, parts))


def sizes(text: str) -> tuple[int, ...]:
    """A shape, as in 3x240x320."""
    parts = text.lower().replace(",", "x").split("x")
    if not all(map(_is_count, parts)):
        raise typer.BadParameter(f"{text!r} is no shape like 3x240x320: whole numbers from 1")
    return tuple(map(int, parts))


def numbers(text: str) -> tuple[float, ...]:
    """Numbers, as in 0.485,0.456,0.406."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers like 0.485,0.456,0.406"
        ) from None


def codes(text: str) -> tuple[int, ...]:
    """Codes of pixels from 0 to 255, one or one for each channel."""
    parts = text.split(",")
    if not all(_is_whole(part) and int(part) <= 255 for part in parts):
        raise typer.BadParameter(f"{text!r} is no code from 0 to 255, nor a list like 124,116,104")
    return tuple(map(int, parts))


def expectation(text: str) -> str:
    """A figure that FP32 is known to reach, as it is spelt: top1=94.1."""
    try:
        check_expectation(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def word(text: str, *, words: Sequence[str]) -> str:
    """One of some words, in any case."""
    spelled = {word.lower(): word for word in words}
    if text.lower() not in spelled:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(words)}")
    return spelled[text.lower()]


def json_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        content = loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise typer.BadParameter(f'{text!r} is no JSON object like {{"width": 0.5}}')
    return content
