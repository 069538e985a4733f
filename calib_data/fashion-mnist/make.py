"""Makes calib/, calib-indices.txt and SHA256SUMS from the published Fashion-MNIST: `python make.py
FOLDER_OF_ITS_FILES`.

Takes 1,024 of the 5,000 training images that `edge_scnet.training` holds out, so that no
calibration image has trained the reference weights and none is an evaluation image. Classes are as
even as 1,024 / 10 allows (four have 103 images, six 102); the choice and its order are fixed by
SEED. A second run writes the same bytes (with the same zlib).
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np
from edge_scnet.idx import read_published

from edge_scnet.training import split_held_out

COUNT, SEED = 1024, 2017
HERE = Path(__file__).parent


def idx(array: np.ndarray) -> bytes:
    """An idx file in gzip, without a time stamp."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.tobytes(), 9, mtime=0)


def main(published: Path) -> None:
    images, labels = read_published("fashion-mnist", published, "train")
    _, held_out = split_held_out(labels)
    rng = np.random.default_rng(SEED)
    classes = np.unique(labels)
    chosen = [
        rng.permutation(held_out[labels[held_out] == c])[
            : COUNT // len(classes) + (i < COUNT % len(classes))
        ]
        for i, c in enumerate(classes)
    ]
    order = rng.permutation(np.concatenate(chosen))

    (HERE / "calib").mkdir(exist_ok=True)
    (HERE / "calib" / "calib-images-idx3-ubyte.gz").write_bytes(idx(images[order, :, :, 0]))
    (HERE / "calib" / "calib-labels-idx1-ubyte.gz").write_bytes(idx(labels[order]))
    (HERE / "calib-indices.txt").write_text("".join(f"{i}\n" for i in order))
    files = sorted([*HERE.glob("calib/*.gz"), *HERE.glob("eval/*.gz"), HERE / "calib-indices.txt"])
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(HERE).as_posix()}\n"
        for file in files
    ]
    (HERE / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
