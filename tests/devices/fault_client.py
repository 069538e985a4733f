"""A client that runs one job on a board, in a process of its own that can be killed.

    python -m tests.devices.fault_client PORT FOLDER

The job reads 1.5 MB and makes as much, so that a fault may fall into each way; its exit code is
printed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from edge_scnet.core.events import Silent
from edge_scnet.devices.device import Device
from edge_scnet.devices.inputs import Input, Job
from edge_scnet.devices.job import Settings, run_on
from edge_scnet.errors import EdgeError

MODEL, SCRIPT, MADE = "model", "work.sh", "made"
ENGINE, MANIFEST = "engine", "manifest.json"
BYTES = 1_500_000
PATIENCE_S = 20.0
EXIT_CODE = 11
# the engine follows from the model alone, as a build's does
TEXT = f"""mkdir -p {MADE}
for i in 1 2 3 4; do echo "step $i"; sleep 0.1; done
tr '\\000-\\377' '\\001-\\377\\000' <{MODEL} >{MADE}/{ENGINE}
sha256sum <{MADE}/{ENGINE} >{MADE}/{MANIFEST}
exit {EXIT_CODE}
"""


class _Printed:
    """Prints what a job prints."""

    events = Silent()

    def stdout(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    def stderr(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)

    def restart(self) -> None:
        pass


def job_in(folder: Path) -> Job:
    """The job in a folder of this machine."""
    return Job(
        argv=("sh", SCRIPT),
        is_tool=False,
        words="a job with faults",
        cwd=folder,
        inputs=(Input(path=folder / SCRIPT), Input(path=folder / MODEL)),
        outputs=(folder / MADE,),
    )


def main() -> None:
    """Runs the job; ends with 3 where the device failed."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    os.chdir(folder)
    device = Device(name="board", host="127.0.0.1", port=port)
    settings = Settings(patience_s=PATIENCE_S)
    try:
        done = asyncio.run(run_on(device, job_in(folder), settings=settings, shown=_Printed()))
    except EdgeError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
        sys.exit(3)
    print(done.exit_code)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    main()
