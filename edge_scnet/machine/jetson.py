"""Which Jetson this machine is: its model, its chip, and its release.

A container sees neither /proc/device-tree nor /sys/firmware, which Docker hides: jetson-containers
therefore mounts the model's name at /tmp/nv_jetson_model, and L4T containers have
/etc/nv_tegra_release.
"""

from __future__ import annotations

from edge_scnet.machine import linux

# What a board is called whose name cannot be read, as in a container.
UNKNOWN_MODEL = "Jetson (model unknown)"
# The first that can be read tells.
_MODEL_FILES = (
    "/proc/device-tree/model",
    "/sys/firmware/devicetree/base/model",
    "/tmp/nv_jetson_model",
)
_COMPATIBLE_FILES = (
    "/proc/device-tree/compatible",
    "/sys/firmware/devicetree/base/compatible",
)
_MOST_IN_NAME = 200
# Modules by chip, in the words that names of models have.
_FAMILIES = {
    "nvidia,tegra210": "jetson nano",  # and TX1
    "nvidia,tegra186": "jetson tx2",
    "nvidia,tegra194": "xavier",
    "nvidia,tegra234": "orin",
    "nvidia,tegra264": "thor",
}
# Names of models that tell the module.
_TELLING = ("nano", "tx1", "tx2", "xavier", "orin", "thor")
# JetPack by L4T's release, from NVIDIA's archive; where two numbers stand here, a release with
# another last number is the same.
_JETPACKS = {
    "32.7.1": "4.6.1",
    "35.1": "5.0.2",
    "35.2": "5.1",
    "35.3": "5.1.1",
    "35.4": "5.1.2",
    "35.5": "5.1.3",
    "35.6.0": "5.1.4",
    "35.6.1": "5.1.5",
    "35.6.2": "5.1.5",
    "36.2": "6.0 DP",
    "36.3": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5.0": "6.2.2",
    "36.5.2": "6.2.3",
    "38.2": "7.0",
    "38.4": "7.1",
    "39.2.0": "7.2",
    "39.2.1": "7.2.1",
}


def model() -> str | None:
    """The board's name as its device tree has it; `UNKNOWN_MODEL` where only its release tells.

    Returns:
        None where this machine is no Jetson. Boards of other makers, IGX and the TX2's "quill" lack
        the word: their chip tells.
    """
    text = next(filter(None, map(linux.read_text, _MODEL_FILES)), "")
    name = text.partition("\n")[0][:_MOST_IN_NAME]
    if name and ("jetson" in name.lower() or family() is not None):
        return name
    if family() is not None or l4t() is not None:
        return UNKNOWN_MODEL
    return None


def family() -> str | None:
    """The modules that have this machine's chip ("orin"), by its device tree."""
    for file in _COMPATIBLE_FILES:
        for word in (linux.read_text(file) or "").split("\0"):
            if word in _FAMILIES:
                return _FAMILIES[word]
    return None


def words(name: str) -> str:
    """A model's name in small letters, with the module's behind it where only the chip tells that.

    An AGX Xavier is "Jetson-AGX" in older releases, a TX1 "jetson_tx1".
    """
    name = name.lower().replace("_", " ").replace("-", " ")
    chip = family()
    return name if chip is None or any(word in name for word in _TELLING) else f"{name} {chip}"


def l4t() -> str | None:
    """The release in `# R36 (release), REVISION: 4.3, ...`, as 36.4.3."""
    head, _, rest = (linux.read_text("/etc/nv_tegra_release") or "").partition(
        "(release), REVISION:"
    )
    revision = rest.partition(",")[0].strip()
    return f"{head.strip('# ').removeprefix('R').strip()}.{revision}" if revision else None


def jetpack(release: str) -> str | None:
    """The JetPack that a release of L4T belongs to; None where it is newer than this table."""
    return _JETPACKS.get(release) or _JETPACKS.get(release.rpartition(".")[0])
