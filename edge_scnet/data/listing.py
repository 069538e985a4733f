"""What lies in a folder of samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_scnet.core.foreign import exists
from edge_scnet.data import arrays
from edge_scnet.data.labels import Role
from edge_scnet.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm")


def contents(path: Path, role: Role, use: str) -> tuple[list[Path], list[Path]]:
    """The files and folders of a sample set's folder, or the file of arrays that it is.

    Raises:
        DataError: it is neither.
    """
    if path.is_file() and path.suffix in arrays.SUFFIXES:
        return [path], []
    if not path.is_dir():
        raise DataError(f"the {role} set {path} is a file, not a folder", hint=use)
    return listing(path)


def no_images(
    path: Path, role: Role, files: list[Path], folders: list[Path], use: str
) -> DataError:
    """The error of a folder without samples, which says what it holds."""
    others = sorted({file.suffix or file.name for file in files})
    content = (
        f"{len(files)} files ({', '.join(others[:5])}), {len(folders)} folders"
        if files or folders
        else "it is empty"
    )
    return DataError(
        f"no images in the {role} folder {path}: {content}; allowed are {' '.join(SUFFIXES)}",
        hint=use,
    )


def listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """(files, folders) sorted by name, without hidden ones.

    A broken link is a file: reading it fails by name.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        folders = [entry for entry in entries if entry.is_dir()]
    except OSError as error:
        raise DataError(
            f"cannot read folder {folder}: {error.strerror or error}", hint=f"ls -ld {folder}"
        ) from error
    return [entry for entry in entries if entry not in set(folders)], folders


def images_below(
    folder: Path, seen: set[Path], *, suffixes: Sequence[str] = SUFFIXES
) -> list[Path]:
    """The images of a folder and of those in it.

    Links to folders are followed, as torchvision does, but none twice: a link upwards would never
    end.
    """
    real = folder.resolve()
    if real in seen:
        return []
    seen.add(real)
    files, folders = listing(folder)
    images = [file for file in files if file.suffix.lower() in suffixes]
    for inner in folders:
        images += images_below(inner, seen, suffixes=suffixes)
    return images


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, and in the place of a folder its images and arrays.

    Raises:
        DataError: a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if not (exists(path) and path.is_dir()):
            found.append(path)
            continue
        suffixes = (*SUFFIXES, *arrays.SUFFIXES)
        below = images_below(path, set(), suffixes=suffixes)
        if not below:
            raise DataError(
                f"the folder {path} holds no images and no arrays; read are {' '.join(suffixes)}",
                hint=f"ls {path}",
            )
        found += below
    return found
