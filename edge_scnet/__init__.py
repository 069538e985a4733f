"""edge-scnet: trained SCNets and other CNNs to INT8 engines, proven to be fast and still accurate.

```python
import edge_scnet

result = edge_scnet.build("scnet20-fashion-mnist", target="cpu")
print(result.report.verdict)
print(edge_scnet.predict(result.folder / "model.xml", ["bag.png"])[0].top)
```

A network of your own, with samples as it takes them:

```python
made = edge_scnet.quantize(module_or_onnx_path, samples, target="cpu")
print(made.engine, made.sqnr_db, made.summary)
```

What fails because of its input raises an `EdgeError`, with a message and a hint.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edge_scnet.__about__ import __version__
from edge_scnet.errors import EdgeError

if TYPE_CHECKING:
    from edge_scnet.pipeline.build import build
    from edge_scnet.pipeline.predict import predict
    from edge_scnet.pipeline.profile import profile
    from edge_scnet.pipeline.quantized import Quantized, quantize

__all__ = ["EdgeError", "Quantized", "__version__", "build", "predict", "profile", "quantize"]

# imported when they are used: the pipeline brings NumPy, and `edge-scnet --help` must stay quick
_MODULES = {
    "build": "edge_scnet.pipeline.build",
    "predict": "edge_scnet.pipeline.predict",
    "profile": "edge_scnet.pipeline.profile",
    "Quantized": "edge_scnet.pipeline.quantized",
    "quantize": "edge_scnet.pipeline.quantized",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
