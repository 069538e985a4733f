"""Code of the user's own: what it raises is one error, which says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.core.user_code import imported, place
from edge_scnet.errors import DataError


def test_a_name_that_a_module_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "with_samples.py").write_text("def samples(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="no attribute 'sampels'") as caught:
        imported("with_samples", "sampels", raises=DataError)
    assert (caught.value.hint or "").startswith("did you mean with_samples:samples? python -c ")
    with pytest.raises(DataError, match="no attribute 'x'") as caught:
        imported("with_samples", "x", raises=DataError)
    assert caught.value.hint == "python -c 'import with_samples; print(dir(with_samples))'"


def test_the_place_of_an_error_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "that_raises.py").write_text("def f():\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    function = imported("that_raises", "f")
    with pytest.raises(ZeroDivisionError) as raised:
        function()
    assert place(raised.value) == " (that_raises.py:2)"
    with pytest.raises(DataError) as own:
        imported("that_raises", "g", raises=DataError)
    # in this package nothing is wrong
    assert own.value.__cause__ is not None and place(own.value.__cause__) == ""
