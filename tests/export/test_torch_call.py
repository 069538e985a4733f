"""Modules called with batches: arguments, names of outputs, and what modules do wrong."""

from __future__ import annotations

import sys
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.errors import ArtifactError
from edge_scnet.export.torch_call import (
    call_arguments,
    check_inputs,
    named_outputs_of,
    needed_inputs,
)

IMAGE = np.ones((2, 3), np.float32)
Pair = namedtuple("Pair", ["boxes", "scores"])


@dataclass
class Answer:
    logits: Any
    loss: Any = None


class Returns(nn.Module):
    """Gives what it is told to."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.made = made

    def forward(self, x: Tensor) -> Any:
        return self.made(x)


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (lambda x: x, ["logits"]),
        (lambda x: x[:, :, None], ["output"]),
        (lambda x: [x], ["logits"]),
        (lambda x: {"out": x}, ["out"]),
        (lambda x: (x, x + 1), ["output_0", "output_1"]),
        (lambda x: (x, None, x), ["output_0", "output_2"]),
        (lambda x: {"a": x, "b": (x, x), "c": {"d": x}}, ["a", "b_0", "b_1", "c_d"]),
        (lambda x: {"a": (x,), "a_0": x}, ["a_0", "a_0_"]),
        (lambda x: (x, {"aux": x}), ["output_0", "output_1_aux"]),
        (lambda x: Pair(x, x), ["boxes", "scores"]),
        (lambda x: Answer(x), ["logits"]),
        (lambda x: {3: x, "": x}, ["3", ""]),
    ],
)
def test_outputs_have_the_names_that_the_module_gives_them(made: Any, names: list[str]):
    assert list(named_outputs_of(Returns(made), IMAGE)) == names


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda x: (), r"Returns returns no tensor \(tuple\)"),
        (lambda x: {"a": None}, r"Returns returns no tensor \(dict\)"),
        (lambda x: None, r"Returns returns no tensor \(NoneType\)"),
        (lambda x: 3, "Returns returns an int; a tensor, or a tuple or a dict of tensors"),
        (lambda x: (x, "a"), "Returns returns a str inside others"),
        (lambda x: sys.exit(0), r"does not run on a 2 x 3 input: it ends the process"),
        (lambda x: 1 / 0, "does not run on a 2 x 3 input: ZeroDivisionError: division by zero"),
        (lambda x: [[[[x]]]], "Returns returns a list inside others"),
    ],
)
def test_modules_that_give_no_tensors(made: Any, message: str):
    with pytest.raises(ArtifactError, match=message) as caught:
        named_outputs_of(Returns(made), IMAGE)
    assert caught.value.hint


class Several(nn.Module):
    def forward(self, image: Tensor, state: Tensor, *, mask: Tensor, scale: float = 2.0) -> Tensor:
        return image + scale * state + mask


class Any_(nn.Module):
    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts)


class PositionalOnly(nn.Module):
    def forward(self, x: Any, /, y: Any) -> Any:
        return x - y


class Skipping(nn.Module):
    def forward(self, a: Tensor, b: Tensor | None = None, c: Tensor | None = None) -> Tensor:
        return a if c is None else a - c


def test_several_inputs_are_handed_over_by_name():
    feed = {"mask": 4, "state": 2, "image": 1}
    assert call_arguments(Several(), feed) == ((1, 2), {"mask": 4})
    assert call_arguments(Skipping(), {"c": 3, "a": 1}) == ((1,), {"c": 3})
    assert call_arguments(Any_(), {"x": 1, "y": 2}) == ((1, 2), {})
    assert call_arguments(Skipping(), {"input": 1}) == ((1,), {})
    assert call_arguments(PositionalOnly(), {"y": 2, "x": 1}) == ((1, 2), {})
    ones = np.ones((2, 3), np.float32)
    batch = batch_of_arrays({"state": 3 * ones, "image": ones, "mask": 5 * ones})
    np.testing.assert_array_equal(named_outputs_of(Several(), batch)["logits"], 12 * ones)


@pytest.mark.parametrize(
    ("module", "names", "message"),
    [
        (Several(), ["input"], "Several takes 3 inputs, forward.*, and state, mask is not fed"),
        (Several(), ["image", "state"], "and mask is not fed"),
        (Several(), ["image", "states", "mask"], "Several has no input 'states'"),
        (Skipping(), ["a", "b"], None),
        (Any_(), ["x", "y"], None),
    ],
)
def test_inputs_are_held_to_the_parameters(
    module: nn.Module, names: list[str], message: str | None
):
    if message is None:
        check_inputs(module, names)
        return
    with pytest.raises(ArtifactError, match=message):
        check_inputs(module, names)


def test_a_parameter_with_a_default_is_no_input_that_is_needed():
    assert needed_inputs(Several()) == ["image", "state", "mask"]
    assert needed_inputs(Skipping()) == ["a"]
