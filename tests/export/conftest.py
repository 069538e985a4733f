"""Networks and their exports, shared because exports are slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import onnx_ir as ir
import pytest
import torch
from torch import nn

from edge_scnet.export.from_torch import export_torch
from edge_scnet.scnet import COMPACT, SCNet, scnet20
from tests.helpers.networks import GREY_SHAPE, TINY_SHAPE, NamedLikeTheGraph, estimated


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Beside another busy process two threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def network() -> nn.Module:
    torch.manual_seed(0)
    return estimated(scnet20(in_channels=1), GREY_SHAPE)


@pytest.fixture(scope="session")
def exported(network: nn.Module) -> ir.Model:
    return export_torch(network, GREY_SHAPE, opset=18)


@pytest.fixture(scope="session")
def tiny() -> nn.Module:
    """An SCNet of two blocks, for what needs several exports."""
    torch.manual_seed(1)
    return estimated(SCNet((1, 1), replace(COMPACT, planes=8), num_classes=5), TINY_SHAPE)


@pytest.fixture(scope="session")
def tiny_exported(tiny: nn.Module) -> ir.Model:
    return export_torch(tiny, TINY_SHAPE, opset=18)


@pytest.fixture(scope="session")
def tiny_dynamic(tiny: nn.Module) -> ir.Model:
    return export_torch(tiny, TINY_SHAPE, opset=18, dynamic_batch=True)


@pytest.fixture(scope="session")
def named() -> nn.Module:
    torch.manual_seed(2)
    return estimated(NamedLikeTheGraph(), TINY_SHAPE)


@pytest.fixture(scope="session")
def named_exported(named: nn.Module) -> ir.Model:
    return export_torch(named, TINY_SHAPE, opset=20)
