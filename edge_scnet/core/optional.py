"""Optional packages: imported by the functions that need them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from edge_scnet.__about__ import __version__
from edge_scnet.core.telemetry import switched_off
from edge_scnet.errors import MissingRuntimeError

_WHEEL = f"edge_scnet-{__version__}-py3-none-any.whl"


def require(module: str, *, extra: str) -> ModuleType:
    """Imports an optional package, without telemetry.

    Raises:
        MissingRuntimeError: it is not installed; the hint names the extra that brings it.
    """
    try:
        with switched_off(), _without_backend():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingRuntimeError(
            f"the package {module!r} is not installed", hint=install_hint(extra)
        ) from error


def installed(module: str) -> bool:
    """Whether a package can be imported; a folder of its name without Python code is none.

    Type stubs leave such folders beside the packages, and so does a checkout.
    """
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def install_hint(extra: str) -> str:
    """The command that installs this package again, with an extra.

    pip takes the checkout that it runs from, or what it was installed from, as pip recorded that
    (PEP 610): a file, an address, or by its name from an index. Where none is known, or the address
    holds a password, its wheel file, by name.
    """
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        place = "." if checkout == Path.cwd() else str(checkout)
        return f"pip install -e {_quoted(f'{place}[{extra}]')}"
    recorded = _installed_from()
    if recorded is None:
        return f"pip install {_quoted(f'./{_WHEEL}[{extra}]')}"
    at = f" @ {recorded}" if recorded else ""
    return f"pip install {_quoted(f'edge-scnet[{extra}]{at}')}"


def another_version_hint(version: str | None = None) -> str:
    """How to come by another version of this package; None: a newer one."""
    which = f"edge-scnet {version}" if version else "a newer edge-scnet"
    if _installed_from() == "":
        asked = f"edge-scnet=={version}" if version else "--upgrade edge-scnet"
        return f"{which} is needed here: pip install {asked}"
    return f"{which} is needed here: pip install its checkout (git pull) or its wheel file"


def _installed_from() -> str | None:
    """Where pip installed this package from; "": by its name, from an index; None: not told."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution("edge-scnet").read_text("direct_url.json")
        if not text:  # pip records an address of all that is not asked for by name alone
            return ""
        recorded = json.loads(text)
    except (PackageNotFoundError, OSError, ValueError):
        return None
    url = recorded.get("url") if isinstance(recorded, dict) else None
    if not isinstance(url, str) or "@" in url:  # no password goes into a message
        return None
    vcs = recorded.get("vcs_info")
    return f"{vcs['vcs']}+{url}" if isinstance(vcs, dict) and vcs.get("vcs") else url


def _quoted(text: str) -> str:
    return f"'{text}'" if "'" not in text else shlex.quote(text)


@contextlib.contextmanager
def _without_backend() -> Iterator[None]:
    """Hides the backend that matplotlib would refuse at its import, where it lacks that one.

    Figures that are written to files need none.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
