"""Where drawings go: names, formats, and what is never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from edge_scnet.errors import DataError, StorageError
from edge_scnet.pipeline.drawn_files import places_for, save

PICTURE = Image.new("RGB", (8, 8))


def test_a_folder_takes_the_images_names(tmp_path: Path) -> None:
    out = tmp_path / "new" / "drawn"
    images = [Path("a.jpg"), Path("b.webp"), Path("c.PNG"), Path("a.jpg")]
    assert [place.name for place in places_for(images, out)] == [
        "a.jpg",
        "b.webp.png",
        "c.PNG",
        "a.jpg",
    ]
    assert out.is_dir()
    assert places_for([Path("a.webp")], tmp_path / "one.jpeg") == [tmp_path / "one.jpeg"]


@pytest.mark.parametrize(
    ("images", "out", "words"),
    [
        (["a.jpg", "b.jpg"], "one.png", "is one file, and there are 2 images"),
        (["x/a.jpg", "y/a.jpg"], "drawn", "would both be drawn to"),
        (["a.jpg"], "one.gif", "drawings are written as .png or .jpg"),
        (["a.jpg"], "text.txt", "it is a file whose name does not end in"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, images: list[str], out: str, words: str
) -> None:
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(DataError, match=words):
        places_for([Path(image) for image in images], tmp_path / out)


def test_only_drawings_are_overwritten(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        place = tmp_path / name
        save(PICTURE, place)
        save(PICTURE, *places_for([Path("x.png")], place))
        with Image.open(place) as drawn:
            assert drawn.size == (8, 8)
        for content in (b"", b"text"):
            place.write_bytes(content)
            with pytest.raises(DataError, match="is no drawing of edge-scnet's"):
                places_for([Path("x.png")], place)
        PICTURE.save(place)
        with pytest.raises(DataError, match="is no drawing of edge-scnet's"):
            places_for([Path("x.png")], place)


def test_the_images_themselves_are_never_overwritten(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    save(PICTURE, image)  # drawn by an earlier call, and drawn on again
    with pytest.raises(DataError, match="would overwrite the image"):
        places_for([image], tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match="would overwrite the image"):
        places_for([image], tmp_path / "link")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "absent.png")
    with pytest.raises(DataError, match="is no drawing of edge-scnet's"):
        places_for([Path("x.png")], tmp_path / "dangling.png")


def test_no_half_written_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    picture = Image.new("RGB", (8, 8))
    monkeypatch.setattr(picture, "save", fail)
    with pytest.raises(StorageError, match="No space left"):
        save(picture, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
