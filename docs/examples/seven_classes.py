"""Fine-tunes the bundled SCNet for seven kinds of clothes: `clothes7.pth`, and images of each kind.

python seven_classes.py
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import torch
from fashion import CLASSES, clothes, inputs
from fitting import fit
from PIL import Image
from safetensors.torch import load_file

from edge_scnet.scnet import scnet20

KINDS = (0, 1, 2, 3, 4, 6, 8)  # no shoes


def write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes images to a folder for each class, as most data sets have them."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = folder / CLASSES[KINDS[label]] / f"{number:05}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)


def seven(part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images of the seven kinds, and their new class from 0 to 6."""
    images, labels = clothes(part)
    kept = np.isin(labels, KINDS)
    return images[kept], np.searchsorted(KINDS, labels[kept])


weights = resources.files("edge_scnet") / "models/weights/scnet20_fashion_mnist.safetensors"
state = load_file(str(weights))
net = scnet20(num_classes=7, in_channels=1)
state = {name: value for name, value in state.items() if not name.startswith("fc.")}
net.load_state_dict(state, strict=False)  # all but the last layer, which is new

images, labels = seven("calib")
fit(net, inputs(images), labels, epochs=2)
torch.save(net.state_dict(), "clothes7.pth")
write(Path("clothes7/calib"), images, labels)
images, labels = seven("eval")
write(Path("clothes7/eval"), images[:2000], labels[:2000])
Path("clothes7/classes.txt").write_text("\n".join(CLASSES[kind] for kind in KINDS) + "\n")
