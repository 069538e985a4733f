"""Optional packages: missing ones are named with the extra that brings them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_scnet.core.optional import installed, require
from edge_scnet.errors import MissingRuntimeError


def test_a_missing_package_is_named_with_its_extra() -> None:
    assert require("json", extra="cpu").loads("1") == 1 and installed("json")
    assert not installed("no_such_package")
    with pytest.raises(MissingRuntimeError, match="'no_such_package' is not installed") as caught:
        require("no_such_package", extra="cpu")
    assert caught.value.hint == "pip install 'edge-scnet[cpu]'"


def test_what_an_installed_package_lacks_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        require("broken_package", extra="cpu")
    sys.modules.pop("broken_package", None)


def test_a_backend_that_matplotlib_lacks_is_no_matter() -> None:
    code = (
        "import os; os.environ['MPLBACKEND'] = 'nope'; from edge_scnet.core.optional import"
        " require; require('matplotlib.figure', extra='report').Figure();"
        " print(os.environ['MPLBACKEND'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "nope\n"), done.stderr
