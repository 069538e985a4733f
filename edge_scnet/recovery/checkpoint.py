"""What an interrupted recovery goes on from: a file in the build folder."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.core.files import remove_files, write_atomic
from edge_scnet.core.foreign import open_regular
from edge_scnet.recovery.schedule import Schedule

FILE = "recovery.pt"


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a recovery has come."""

    schedule: Schedule
    # noise over signal on the held-out samples: at the start, and the least since
    noise_before: float
    best_noise: float
    # with the least noise; None: the start's is the least
    best: dict[str, Tensor] | None = None
    # of all runs so far
    seconds: float = 0.0


class Checkpoint:
    """The file of one recovery, which another one's key does not open."""

    def __init__(self, path: Path, key: str) -> None:
        """Names the file.

        Args:
            path: of the file; it need not be there.
            key: of everything that decides the recovery.
        """
        self._path, self._key = path, key

    def write(
        self, progress: Progress, state: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> None:
        """Writes how far a recovery is, whole or not at all.

        Raises:
            StorageError: the folder cannot be written.
        """
        content = {
            "key": self._key,
            "schedule": asdict(progress.schedule),
            "noise_before": progress.noise_before,
            "best_noise": progress.best_noise,
            "best": progress.best,
            "seconds": progress.seconds,
            "state": dict(state),
            "optimizer": optimizer.state_dict(),
        }
        with write_atomic(self._path) as temporary:
            torch.save(content, temporary)

    def read(
        self, state: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
    ) -> tuple[Progress, dict[str, Tensor]] | None:
        """Reads it, and sets the optimizer.

        Args:
            state: of the names and shapes that the file must have.
            optimizer: of the same parameters.

        Returns:
            None where there is none, where it is another recovery's, or damaged.
        """
        try:
            with open_regular(self._path) as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a file that is no checkpoint
                # no pickled code is run
                content: dict[str, Any] = torch.load(file, weights_only=True)
            if content["key"] != self._key:
                return None
            saved: dict[str, Tensor] = content["state"]
            if {n: v.shape for n, v in saved.items()} != {n: v.shape for n, v in state.items()}:
                return None
            optimizer.load_state_dict(content["optimizer"])
            progress = Progress(
                schedule=Schedule(**content["schedule"]),
                noise_before=float(content["noise_before"]),
                best_noise=float(content["best_noise"]),
                best=content["best"],
                seconds=float(content["seconds"]),
            )
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError):
            return None
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return progress, saved

    def remove(self) -> None:
        """Removes the file."""
        remove_files([self._path])
