"""pycuda itself, where it is installed, on a driver library of a few lines of C.

It has no wheels: it is built where CUDA's headers, libcuda and libcurand are.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.cuda import COMPILER
from tests.helpers.data import DATA

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("pycuda") is None, reason="pycuda is not installed"
    ),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler: cc or gcc"),
]

# What the contract of `test_cuda.py` asks for, in a process whose libcuda is the test's.
_CONTRACT = """
import ctypes, gc, json, os, sys
sys.setdlopenflags(os.RTLD_LAZY)  # the library has no more functions than are called
import numpy as np
from edge_scnet.errors import BackendError
from edge_scnet.runtimes.tensorrt import cuda

told = {"reason": cuda.unavailable(), "title": cuda.state().title}
driver = ctypes.CDLL("libcuda.so.1")
driver.fake_notes.restype = ctypes.c_char_p
stream = cuda.open_stream()
there, back = (stream.pinned((2, 3), np.dtype(np.float32)) for _ in range(2))
address = stream.allocate(24)
told["aligned"] = address % 256 == 0 and bool(stream.handle)
there[:], back[:] = np.arange(6).reshape(2, 3), -1
stream.upload(address, there)
stream.download(back.reshape(-1)[:2], address)
stream.wait()
told["part"] = back.tolist()
stream.download(back, address)
stream.wait()
told["whole"] = back.tolist() == there.tolist()
told["empty"] = stream.pinned((0, 4), np.dtype(np.float32)).shape
try:
    stream.allocate(1 << 30)
except BackendError as error:
    told["error"] = str(error)
stream.close()
stream.close()
view = back[1]
del there, back
gc.collect()
told["view"] = view.tolist()
del view
gc.collect()
told["notes"], told["live"] = driver.fake_notes().decode().splitlines(), driver.fake_live()
print(json.dumps(told))
"""


def test_pycuda_meets_the_contract(tmp_path: Path) -> None:
    assert COMPILER is not None
    for library in ("libcuda.so.1", "libcurand.so.10"):
        source = DATA / "fake_libcuda.c"
        command = [COMPILER, "-std=c11", "-shared", "-fPIC", "-o", tmp_path / library, source]
        subprocess.run(command, check=True)
    environment = {"LD_LIBRARY_PATH": str(tmp_path), "EDGE_SCNET_CUDA": "pycuda"}
    done = subprocess.run(
        [sys.executable, "-c", _CONTRACT],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    notes = told.pop("notes")
    assert told == {
        "reason": None,
        "title": "pycuda",
        "aligned": True,
        "part": [[0, 1, -1], [-1, -1, -1]],
        "whole": True,
        "empty": [0, 4],
        "error": "CUDA: mem_alloc: cuMemAlloc failed: out of memory",
        "view": [3, 4, 5],
        "live": 0,
    }
    # before the stream goes it is waited for and its memory freed; arrays live longer
    assert notes[:4] == ["stream 0", "host 24", "host 24", "device 24"]
    after = notes[notes.index("free 0") - 1 :]
    assert after[:3] == ["wait 0", "free 0", "destroy 0"]
    assert sorted(after[3:]) == ["free host 0"] * 2 and "freed twice 0" not in notes
    assert notes.count("free host 0") == 3
