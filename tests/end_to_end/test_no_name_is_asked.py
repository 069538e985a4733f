"""What the tool runs asks for no name on a network: neither its own processes nor the runtimes'.

A library that is loaded before all others stands in for `getaddrinfo` and notes what is asked, in
every process of a run. The network is one without interfaces where the system permits that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.onnx_files import user_model, written

_STAND_IN = r"""
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void note(const char *name) {
    char line[512];
    const char *path = getenv("ASKED_NAMES");
    int size = snprintf(line, sizeof line, "%s\n", name ? name : "-");
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (file < 0 || write(file, line, size) != size) abort();
    close(file);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result) {
    note(node);
    return EAI_AGAIN;
}

struct hostent *gethostbyname(const char *name) {
    note(name);
    return NULL;
}
"""
# by the Python API, in a process that is another's
_QUANTIZE = """
import numpy, torch, edge_scnet
if __name__ == "__main__":
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(),
                              torch.nn.Linear(4 * 36, 3))
    samples = numpy.random.default_rng(0).random((100, 1, 8, 8), numpy.float32)
    edge_scnet.quantize(net.eval(), samples, target="cpu", out="quantized")
"""


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    folder = tmp_path_factory.mktemp("stand_in")
    (folder / "asked.c").write_text(_STAND_IN)
    command = [compiler, "-shared", "-fPIC", "-o", "asked.so", "asked.c"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the compiler builds no library: {made.stderr[:100]}")
    return folder / "asked.so"


def asked(stand_in: Path, folder: Path, *command: object) -> list[str]:
    """Runs a command in a folder, and returns the names that its processes asked for."""
    names = folder / "asked"
    alone = ["unshare", "-n"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False).returncode:
        alone = []  # the stand-in resolves nothing: no name leads anywhere
    # a home of its own: there nobody has opted out of anything
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "HOME": str(home), "ASKED_NAMES": str(names)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    preloaded = ["env", f"LD_PRELOAD={stand_in}"]
    done = subprocess.run(
        [*alone, *preloaded, sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # 11, 13: so small a network need not gain by INT8
    assert done.returncode in (0, 11, 13), done.stderr
    left = [name for name in home.rglob("*") if name.is_file() and "matplotlib" not in str(name)]
    assert left == [], "nothing is written to the home folder"
    return names.read_text().split() if names.exists() else []


@pytest.mark.slow
def test_a_build_asks_for_no_name(stand_in: Path, tmp_path: Path) -> None:
    model = written(tmp_path, user_model())
    rng = np.random.default_rng(0)
    for name, count in (("calib", 100), ("eval", 20)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "samples.npy", rng.random((count, 3, 8, 8), np.float32))
    command = ("-m", "edge_scnet", "build", model, "--calib", "calib", "--eval", "eval")
    assert asked(stand_in, tmp_path, *command, "--seconds", "0.1") == []


@pytest.mark.slow
def test_the_python_api_asks_for_no_name(stand_in: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_QUANTIZE)
    assert asked(stand_in, tmp_path, "program.py") == []


@pytest.mark.slow
def test_a_name_that_is_asked_is_seen(stand_in: Path, tmp_path: Path) -> None:
    asks = "import socket\ntry: socket.getaddrinfo('a.example', 80)\nexcept OSError: pass"
    assert asked(stand_in, tmp_path, "-c", asks) == ["a.example"]
