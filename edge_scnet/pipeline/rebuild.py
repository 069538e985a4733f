"""The command that builds again what a request is for."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_scnet.pipeline.request import Request


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
