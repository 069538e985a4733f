"""Optional packages: missing ones are named with the extra that brings them."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_scnet.__about__ import __version__
from edge_scnet.core import optional
from edge_scnet.core.optional import another_version_hint, install_hint, installed, require
from edge_scnet.errors import MissingRuntimeError


def test_a_missing_package_is_named_with_its_extra() -> None:
    assert require("json", extra="cpu").loads("1") == 1 and installed("json")
    assert not installed("no_such_package")
    with pytest.raises(MissingRuntimeError, match="'no_such_package' is not installed") as caught:
        require("no_such_package", extra="cpu")
    assert caught.value.hint == install_hint("cpu")


def test_pip_is_told_a_checkout_or_what_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(tmp_path)
    assert install_hint("cpu") == f"pip install -e '{root}[cpu]'"
    monkeypatch.chdir(root)
    assert install_hint("cpu") == "pip install -e '.[cpu]'"
    # an installed package has no pyproject.toml beside it
    monkeypatch.setattr(optional, "__file__", str(tmp_path / "edge_scnet" / "core" / "optional.py"))
    wheel = f"edge_scnet-{__version__}-py3-none-any.whl"
    for recorded, expected in (
        ({"url": f"file:///a/{wheel}"}, f"pip install 'edge-scnet[jetson] @ file:///a/{wheel}'"),
        (
            {"url": "https://host/x.git", "vcs_info": {"vcs": "git"}},
            "pip install 'edge-scnet[jetson] @ git+https://host/x.git'",
        ),
        ({"url": "https://user:secret@host/x.whl"}, f"pip install './{wheel}[jetson]'"),
        ([], f"pip install './{wheel}[jetson]'"),
        (None, "pip install 'edge-scnet[jetson]'"),  # from an index
    ):
        text = None if recorded is None else json.dumps(recorded)
        told = SimpleNamespace(read_text=lambda name, text=text: text)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name, told=told: told)
        assert install_hint("jetson") == expected


def test_another_version_comes_the_way_that_this_one_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for text, expected in (
        (None, ("pip install edge-scnet==0.9", "pip install --upgrade edge-scnet")),
        ('{"url": "file:///a"}', ("pip install its checkout (git pull) or its wheel file",) * 2),
    ):
        told = SimpleNamespace(read_text=lambda name, text=text: text)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name, told=told: told)
        assert another_version_hint("0.9") == f"edge-scnet 0.9 is needed here: {expected[0]}"
        assert another_version_hint() == f"a newer edge-scnet is needed here: {expected[1]}"


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


def test_a_folder_of_a_packages_name_is_not_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As type stubs leave one, and a checkout beside the working folder."""
    (tmp_path / "package_of_stubs").mkdir()
    (tmp_path / "package_of_stubs" / "__init__.pyi").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not installed("package_of_stubs")
    (tmp_path / "package_of_stubs" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert installed("package_of_stubs")
