"""Files of torch that hold more than weights: told from checkpoints without running them."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

Content = Literal["TorchScript", "a pickled module", "weights"]

# In the hint of every file of a network that edge-scnet does not know.
FACTORY_HINT = (
    "a network of your own comes from a function: def net(): model = Net();"
    " model.load_state_dict(torch.load({path!r}, weights_only=True)); return model; then:"
    " edge-scnet build package.module:net (or in Python: edge_scnet.build(model))"
)
# In files of the time before torch 1.6: a number, a version, the machine, then the object.
_PICKLES_OF_OLD_FILES = 4
_MOST_BYTES = 16 << 20  # of the pickle that says what a file holds: tensors lie outside it
_MODULES = ("torch.nn.modules.", "torch.nn.parallel.")
# What checkpoints of plain weights name.
_PLAIN = ("torch", "collections", "builtins", "__builtin__", "_codecs", "numpy", "argparse")


def content_of(path: Path) -> Content:
    """Returns what a file of `torch.save` or `torch.jit.save` holds, by the names in it.

    What cannot be read counts as weights: reading them gives the error.
    """
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return _content_of_pickle(file, _PICKLES_OF_OLD_FILES)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in names):
                return "TorchScript"
            for name in names:
                if name.endswith("data.pkl") and archive.getinfo(name).file_size < _MOST_BYTES:
                    with archive.open(name) as file:
                        return _content_of_pickle(file)
    except Exception:  # zipfile too: of damaged names, sizes, flags and packed bytes
        pass
    return "weights"


def _content_of_pickle(file: IO[bytes], pickles: int = 1) -> Content:
    try:
        for _ in range(pickles):
            for module in _modules_named(file):
                is_plain = module.partition(".")[0] in _PLAIN and not module.startswith(_MODULES)
                if not is_plain:
                    return "a pickled module"
    except Exception:  # pickletools raises many kinds
        pass
    return "weights"


def _modules_named(file: IO[bytes]) -> Iterator[str]:
    """The Python modules whose objects a pickle makes."""
    # what was pushed last, and what was kept for later: texts, and None for all else
    pushed: list[str | None] = []
    kept: dict[int, str | None] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            yield str(argument).partition(" ")[0]
        elif opcode.name == "STACK_GLOBAL" and len(pushed) > 1 and pushed[-2] is not None:
            yield pushed[-2]
        if opcode.name == "MEMOIZE":
            kept[len(kept)] = pushed[-1] if pushed else None
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int):
            kept[argument] = pushed[-1] if pushed else None
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET") and isinstance(argument, int):
            pushed.append(kept.get(argument))
        else:
            pushed.append(argument if isinstance(argument, str) else None)
