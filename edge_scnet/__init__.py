"""edge-scnet: trained SCNets and other CNNs to INT8 engines, with the proof that they are fast and
still accurate.

import edge_scnet

result = edge_scnet.build("scnet20-fashion-mnist", target="cpu") print(result.report.verdict)
print(edge_scnet.predict(result.folder / "model.xml", ["bag.png"])[0].top)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_scnet.__about__ import __version__

__all__ = ["__version__", "build", "predict", "profile"]

if TYPE_CHECKING:
    from edge_scnet.pipeline.build import build
    from edge_scnet.pipeline.predict import predict
    from edge_scnet.pipeline.profile import profile


def __getattr__(name: str) -> Any:
    # importing the package must stay cheap: the pipeline brings NumPy
    if name == "build":
        from edge_scnet.pipeline.build import build

        return build
    if name in ("predict", "profile"):
        from edge_scnet.pipeline import build_folder as engines

        return getattr(engines, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
