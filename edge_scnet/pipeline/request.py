"""What `build` was asked for, and the command that asks for it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge_scnet.config.expectation import Expectation
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.data.labels import Role
from edge_scnet.pipeline.stages.job import Stage
from edge_scnet.scale.executors import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `build` was asked for."""

    model: str
    target: str
    # sample sets, as `data.source` reads them
    calib: str | None
    evaluation: str | None
    out: Path
    options: ModelOptions
    # None: the target's
    batch: int | Literal["dynamic"] | None = None
    skip_bad: bool = False
    ignore_labels: bool = False
    until: Stage = "profile"
    qdq: Path | None = None
    max_drop_pp: float | None = None
    # of FP32's own figures
    expect: tuple[Expectation, ...] = ()
    # timed, of each engine
    seconds: float = 3.0
    # None: no search where INT8 misses the limit
    search_seconds: float | None = None
    # whether the bundle carries what a search on its board needs
    search_on_board: bool = False
    # None: nothing is learned from the float graph
    recover_minutes: float | None = None
    # of each plan, of which the fastest that is right is kept
    builds: int = 1
    # the command line or the call, for the report and for other runs that want the folder
    command: str = ""
    # for another run in the build folder to end
    wait: bool = False
    # who computes what can be shared; None: this process
    workers: Workers | None = field(default=None, repr=False)
    # what was asked for, where another file stands in for the model
    given: Request | None = field(default=None, repr=False)
    # the caller's torch.nn.Module, whose class `model` then names
    module: Any = field(default=None, repr=False)
    # iterables of samples, in place of the folders
    held: Mapping[Role, Any] = field(default_factory=dict, repr=False)


def rebuild_command(request: Request) -> str:
    """The command that builds this again, for hints; of what the caller holds, the call."""
    request = request.given or request
    if request.module is not None or request.held:
        return f"edge_scnet.build({request.model}, target={request.target!r}, calib=..., ...)"
    options = {
        f"--{name.replace('_', '-')}": value
        for name, value in asdict(request.options).items()
        if name != "class_names"
    }
    options |= {
        "--calib": request.calib,
        "--eval": request.evaluation,
        "--batch": request.batch,
        "--qdq": request.qdq,
        "--search-on-board": request.search_on_board or None,
        "--recover": request.recover_minutes,
    }
    command = ["edge-scnet", "build", request.model, "--target", request.target]
    for option, value in options.items():
        command += _spelled(option, value)
    return shlex.join(command)


def _spelled(option: str, value: Any) -> list[str]:
    """An option as the command line has it."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [option if value else f"--no-{option.removeprefix('--')}"]
    if isinstance(value, dict):
        return [option, json.dumps(value)]
    if isinstance(value, tuple) and all(isinstance(part, str) for part in value):
        return [word for part in value for word in (option, part)]
    return [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
