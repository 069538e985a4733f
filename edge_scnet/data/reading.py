"""What a sample set is opened for, which the openers of all sources are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.source import Source
from edge_scnet.data.labels import Role, known_classes

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A source, the model that its samples are for, and how they are read."""

    source: Source
    role: Role
    # whose classes the labels are; None: unknown
    model: ModelSpec | None = None
    # leaves out and counts what cannot be decoded
    skip_bad: bool = False
    ignore_labels: bool = False
    # takes that many, evenly spaced
    limit: int | None = None

    @property
    def path(self) -> Path:
        """The file or folder."""
        return self.source.path

    @property
    def option(self) -> str:
        """The option that names the set."""
        return {"calibration": "--calib", "evaluation": "--eval"}[self.role]

    @property
    def task(self) -> str | None:
        """What the network is for, where it was said."""
        return self.model.task.kind if self.model is not None and self.model.task else None

    @property
    def turned(self) -> bool:
        """Whether pictures are turned as their EXIF data says."""
        return self.model is None or self.model.preprocessing.exif

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the model, if any."""
        return known_classes(self.model)[0]

    @property
    def class_count(self) -> int:
        """Of the model; 0: unknown."""
        return known_classes(self.model)[1]

    @property
    def wants_targets(self) -> bool:
        """Whether ground truth other than one class a sample is of use."""
        return self.role == "evaluation" and not self.ignore_labels

    def setting(self, name: str) -> str | None:
        """A setting behind the source's name."""
        return self.source.settings.get(name)

    def folder(self, name: str) -> Path | None:
        """A folder that a setting names, relative to the source's own."""
        if (value := self.setting(name)) is None:
            return None
        root = self.path if self.path.is_dir() else self.path.parent
        return root / value

    def with_setting(self, name: str, value: str) -> str:
        """The option with one more setting, for hints."""
        return f"{self.option} '{self.source.with_setting(name, value).text}'"
