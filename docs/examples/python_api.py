# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # edge-scnet from Python
#
# Jupyter with jupytext opens it as a notebook (or `jupytext --to ipynb python_api.py`), and
# `python python_api.py` runs it.

# %% [markdown]
# ## A network of your own, quantized
#
# Any `torch.nn.Module` or ONNX file, with samples as it takes them. `quantize` proves the engine,
# and does not judge it.

# %%
import numpy as np
import torch
from torch import nn

import edge_scnet

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3, padding=1)
).eval()
samples = np.random.default_rng(0).normal(size=(300, 3, 32, 32)).astype(np.float32)
made = edge_scnet.quantize(net, samples, target="cpu")
print(made.summary)

# %% [markdown]
# ## A build with a verdict
#
# The bundled SCNet with its bundled photographs: `report` has all that `report.json` has.

# %%
result = edge_scnet.build("scnet20-fashion-mnist", target="cpu", seconds=1.0)
print(result.report.verdict)
for engine in result.report.engines:
    print(f"{engine.name:10} {engine.latency.p50_ms:.2f} ms  {engine.size_bytes:,} bytes")

# %% [markdown]
# ## What failed, and why
#
# Errors have a message, a hint and the exit code of the command line.

# %%
try:
    edge_scnet.build("no-such-file.onnx")
except edge_scnet.EdgeError as error:
    print(f"{error.message}\nhint: {error.hint} (exit code {int(error.exit_code)})")
