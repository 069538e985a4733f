"""A build folder: its path, and its manifest's word on the files in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from edge_scnet.core.facts import Facts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import (
    MANIFEST,
    Artifact,
    Manifest,
    load_manifest,
    save_manifest,
    without_stale,
)
from edge_scnet.errors import ArtifactError, EdgeError

FactsT = TypeVar("FactsT", bound=Facts)

_BUILD_AGAIN = "build again: edge-scnet build"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFolder:
    """A folder that holds a build. A change gives another record; `save` writes the manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> BuildFolder:
        """Reads the folder's manifest.

        Raises:
            ArtifactError: missing, not JSON, of another schema, or with fields missing.
        """
        return cls(path=path, manifest=load_manifest(path))

    def entry(self, name: str) -> Artifact:
        """What the manifest says of a file.

        Raises:
            ArtifactError: it does not list that file.
        """
        try:
            return self.manifest.artifacts[name]
        except KeyError:
            raise ArtifactError(
                f"{self.path / MANIFEST} does not list {name}", hint=self.manifest.rebuild
            ) from None

    def facts(self, name: str, kind: type[FactsT]) -> FactsT:
        """What the stage that made a file found out about it.

        Raises:
            ArtifactError: the manifest does not list that file, or lists it as another stage's.
        """
        entry = self.entry(name)
        if not isinstance(entry.facts, kind):
            raise ArtifactError(
                f"{self.path / MANIFEST} lists {name} as {entry.kind} of the stage {entry.stage}",
                hint=_BUILD_AGAIN,
            )
        return entry.facts

    def hashes(self, names: Iterable[str]) -> dict[str, str]:
        """Files' sha256 by name, as a later stage names what it was made of.

        Raises:
            ArtifactError: the manifest does not list one of them.
        """
        return {name: self.entry(name).sha256 for name in names}

    def verified(self, name: str) -> Path:
        """The path of a file, its content checked against the manifest.

        Raises:
            ArtifactError: the manifest does not list it, it is missing, or its hash differs.
        """
        return self.verified_entry(self.entry(name))

    def verified_entry(self, entry: Artifact) -> Path:
        """As `verified`, by the file's own entry."""
        # a manifest may come from anywhere: its names must not leave its folder
        if Path(entry.file).name != entry.file:
            raise ArtifactError(
                f"{self.path / MANIFEST} names {entry.file!r}, which is not a plain file name",
                hint=_BUILD_AGAIN,
            )
        path = self.path / entry.file
        if not path.is_file():
            raise ArtifactError(f"{path} is missing", hint=_BUILD_AGAIN)
        sha256 = sha256_file(path)
        if sha256 != entry.sha256:
            raise ArtifactError(
                f"{path} is not the file that was built: sha256 {sha256[:12]}..., the manifest says"
                f" {entry.sha256[:12]}...",
                hint=_BUILD_AGAIN,
            )
        return path

    def is_current(self, name: str, key: str) -> bool:
        """Whether the folder holds a file made by exactly this key, undamaged."""
        entry = self.manifest.artifacts.get(name)
        if entry is None or entry.key != key:
            return False
        try:
            self.verified_entry(entry)
        except EdgeError:
            return False
        return True

    def with_artifact(self, artifact: Artifact) -> BuildFolder:
        """The folder with a file that was made in it."""
        return replace(self, manifest=self.manifest.with_artifact(artifact))

    def without_artifact(self, name: str) -> BuildFolder:
        """The folder less a file, which is gone or of no use any more."""
        left = {file: entry for file, entry in self.manifest.artifacts.items() if file != name}
        return replace(self, manifest=replace(self.manifest, artifacts=left))

    def without_stale(self) -> BuildFolder:
        """The folder less the files that were made of files which have been made anew since."""
        return replace(self, manifest=without_stale(self.manifest))

    def save(self) -> None:
        """Writes the manifest.

        Raises:
            StorageError: the folder cannot be written.
        """
        save_manifest(self.path, self.manifest)
