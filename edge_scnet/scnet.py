"""SCNet in PyTorch: the self-calibrated convolution, its bottleneck and the networks built of them.

The names of the modules, and with them of a state dict, equal the official checkpoints'.

Source: Liu, Hou, Cheng, Wang, Feng, "Improving Convolutional Networks with Self-Calibrated
Convolutions", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch  # noqa: TID253  the network is torch; nothing imports this module before a torch stage runs
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

POOLING_R = 4
EXPANSION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What the variants of SCNet differ in, beside their depth."""

    # "7x7" (conv, BN, ReLU, max pool), "deep" (three 3x3 convolutions), "3x3" (stride 1, no pool:
    # small inputs).
    stem: str = "7x7"
    # Channels of the first convolution of a deep stem.
    stem_width: int = 32
    # Of the first stage; they double with every stage.
    planes: int = 64
    # In the shortcut an average pool and a stride-1 1x1 convolution, instead of a strided one.
    avg_down: bool = False
    # An average pool instead of a strided 3x3 convolution (ResNeSt's "avd").
    avd: bool = False


PLAIN = Design()
V1D = Design(stem="deep", stem_width=32, avg_down=True, avd=True)
V1D_WIDE_STEM = Design(stem="deep", stem_width=64, avg_down=True, avd=True)
COMPACT = Design(stem="3x3", planes=16, avg_down=True, avd=True)


class SCConv(nn.Module):
    """Self-calibrated convolution (section 3.1 of the paper).

    N x C x H x W in, N x C x H/s x W/s out. `gate = sigmoid(x + resize(k2(x)))`,
    `out = k4(k3(x) * gate)`. The resize goes to the size of `x`, not by a factor: at 224 px stage 3
    pools 14 to 3 and stage 4 pools 7 to 1.
    """

    def __init__(self, channels: int, *, stride: int, dilation: int) -> None:
        super().__init__()

        def conv(step: int) -> nn.Conv2d:
            return nn.Conv2d(channels, channels, 3, step, dilation, dilation, bias=False)

        pool = nn.AvgPool2d(POOLING_R, POOLING_R)
        self.k2 = nn.Sequential(pool, conv(1), nn.BatchNorm2d(channels))
        self.k3 = nn.Sequential(conv(1), nn.BatchNorm2d(channels))
        self.k4 = nn.Sequential(conv(stride), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        calibration = F.interpolate(self.k2(x), x.shape[2:], mode="nearest")
        return self.k4(self.k3(x) * torch.sigmoid(x + calibration))  # type: ignore[no-any-return]


class SCBottleneck(nn.Module):
    """Two parallel branches, one plain and one self-calibrated, joined by a 1x1 convolution.

    Args:
        downsample: the shortcut, where it is not the input itself.
        avd: an average pool behind the convolutions has the stride.
    """

    def __init__(
        self,
        inplanes: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
        avd: bool = False,
    ) -> None:
        super().__init__()
        width = planes // 2
        self.conv1_a = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1_a = nn.BatchNorm2d(width)
        self.conv1_b = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1_b = nn.BatchNorm2d(width)
        self.avd_layer = nn.AvgPool2d(3, stride, padding=1) if avd else None
        conv_stride = 1 if avd else stride
        self.k1 = nn.Sequential(
            nn.Conv2d(width, width, 3, conv_stride, dilation, dilation, bias=False),
            nn.BatchNorm2d(width),
        )
        self.scconv = SCConv(width, stride=conv_stride, dilation=dilation)
        self.conv3 = nn.Conv2d(2 * width, planes * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        a = self.relu(self.k1(self.relu(self.bn1_a(self.conv1_a(x)))))
        b = self.relu(self.scconv(self.relu(self.bn1_b(self.conv1_b(x)))))
        if self.avd_layer is not None:
            a, b = self.avd_layer(a), self.avd_layer(b)
        y = self.bn3(self.conv3(torch.cat((a, b), dim=1)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(y + shortcut)  # type: ignore[no-any-return]


class SCNet(nn.Module):
    """A stack of SCBottleneck stages: a classifier, or a backbone where `features` is given.

    A classifier gives logits, N x num_classes.

    Args:
        layers: blocks per stage.
        dilation: 4 makes the output stride 8, 2 makes it 16.
        features: names of stages ("layer2", ...): forward then returns their outputs as a tuple,
            and the network has no pooling and no `fc`, which is what detection and segmentation
            heads want.

    Raises:
        ValueError: an unknown stem or stage in `features`, or a dilation other than 1, 2 and 4.
    """

    def __init__(
        self,
        layers: Sequence[int],
        design: Design = PLAIN,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        dilation: int = 1,
        features: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if dilation not in (1, 2, 4):
            raise ValueError(f"dilation must be 1, 2 or 4, got {dilation}")
        if design.stem not in ("7x7", "deep", "3x3"):
            raise ValueError(f"stem must be 7x7, deep or 3x3, got {design.stem!r}")
        self.stages = tuple(f"layer{i + 1}" for i in range(len(layers)))
        if unknown := [name for name in features if name not in self.stages]:
            raise ValueError(
                f"unknown feature stage {unknown[0]!r}; stages are {', '.join(self.stages)}"
            )
        self.features = tuple(features)
        self._design = design
        self.conv1, self._inplanes = _stem(design, in_channels)
        self.bn1 = nn.BatchNorm2d(self._inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool: nn.Module = nn.Identity() if design.stem == "3x3" else nn.MaxPool2d(3, 2, 1)

        rates = {1: {}, 2: {4: 2}, 4: {3: 2, 4: 4}}[dilation]
        for index, (name, blocks) in enumerate(zip(self.stages, layers, strict=True), start=1):
            rate = rates.get(index, 1)
            stride = 1 if index == 1 or rate > 1 else 2
            # the first stage has no pool in the official code: its input is pooled already
            avd = design.avd and index > 1
            stage = self._make_stage(
                design.planes * 2 ** (index - 1), blocks, stride=stride, dilation=rate, avd=avd
            )
            self.add_module(name, stage)
        if not self.features:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(self._inplanes, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _make_stage(
        self, planes: int, blocks: int, *, stride: int, dilation: int, avd: bool
    ) -> nn.Sequential:
        """Blocks, the first of which changes size and width; with `avd` it has an average pool."""
        out = planes * EXPANSION
        downsample: nn.Module | None = None
        if stride != 1 or self._inplanes != out:
            norm = nn.BatchNorm2d(out)
            if self._design.avg_down:
                pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
                downsample = nn.Sequential(
                    pool, nn.Conv2d(self._inplanes, out, 1, bias=False), norm
                )
            else:
                downsample = nn.Sequential(
                    nn.Conv2d(self._inplanes, out, 1, stride, bias=False), norm
                )
        first_dilation = 2 if dilation == 4 else 1
        stage: list[nn.Module] = [
            SCBottleneck(
                self._inplanes,
                planes,
                stride=stride,
                dilation=first_dilation,
                downsample=downsample,
                avd=avd,
            )
        ]
        self._inplanes = out
        stage += [SCBottleneck(out, planes, dilation=dilation) for _ in range(blocks - 1)]
        return nn.Sequential(*stage)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outputs: dict[str, Tensor] = {}
        for name in self.stages:
            outputs[name] = x = self.get_submodule(name)(x)
        if self.features:
            return tuple(outputs[name] for name in self.features)
        return self.fc(torch.flatten(self.avgpool(x), 1))  # type: ignore[no-any-return]


def _stem(design: Design, in_channels: int) -> tuple[nn.Module, int]:
    """The first convolutions, and how many channels they give."""
    if design.stem == "deep":
        width = design.stem_width
        convolutions = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 2 * width, 3, 1, 1, bias=False),
        )
        return convolutions, 2 * width
    if design.stem == "3x3":
        return nn.Conv2d(in_channels, design.planes, 3, 1, 1, bias=False), design.planes
    return nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False), 64


def scnet50(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dilated: bool = False,
    dilation: int = 1,
    features: Sequence[str] = (),
) -> SCNet:
    """SCNet-50: 7x7 stem, 25,564,584 parameters, 77.81 % top-1 on ImageNet (paper, table 2).

    Args:
        dilated: as `dilation=4`.
        dilation, features: as for `SCNet`.
    """
    return SCNet(
        (3, 4, 6, 3),
        PLAIN,
        num_classes=num_classes,
        in_channels=in_channels,
        dilation=4 if dilated else dilation,
        features=features,
    )


def scnet50_v1d(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dilated: bool = False,
    dilation: int = 1,
    features: Sequence[str] = (),
) -> SCNet:
    """SCNet-50 v1d: deep stem of width 32, average pools for strides.

    25,583,816 parameters, 80.47 % top-1. The arguments are those of `scnet50`.
    """
    return SCNet(
        (3, 4, 6, 3),
        V1D,
        num_classes=num_classes,
        in_channels=in_channels,
        dilation=4 if dilated else dilation,
        features=features,
    )


def scnet101(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dilated: bool = False,
    dilation: int = 1,
    features: Sequence[str] = (),
) -> SCNet:
    """SCNet-101: 7x7 stem, 44,565,416 parameters, 78.94 % top-1.

    The arguments are those of `scnet50`.
    """
    return SCNet(
        (3, 4, 23, 3),
        PLAIN,
        num_classes=num_classes,
        in_channels=in_channels,
        dilation=4 if dilated else dilation,
        features=features,
    )


def scnet101_v1d(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dilated: bool = False,
    dilation: int = 1,
    features: Sequence[str] = (),
) -> SCNet:
    """SCNet-101 v1d: deep stem of width 64, average pools for strides, 44,689,192 parameters.

    The arguments are those of `scnet50`.
    """
    return SCNet(
        (3, 4, 23, 3),
        V1D_WIDE_STEM,
        num_classes=num_classes,
        in_channels=in_channels,
        dilation=4 if dilated else dilation,
        features=features,
    )


def scnet20(num_classes: int = 10, in_channels: int = 3, *, features: Sequence[str] = ()) -> SCNet:
    """SCNet for small inputs: 2 blocks in each of 3 stages, 3x3 stem, planes 16, 32 and 64.

    220,826 parameters with 3 channels in.
    """
    return SCNet(
        (2, 2, 2),
        COMPACT,
        num_classes=num_classes,
        in_channels=in_channels,
        features=features,
    )


def scnet29(num_classes: int = 10, in_channels: int = 3, *, features: Sequence[str] = ()) -> SCNet:
    """SCNet for small inputs: 3 blocks in each of 3 stages, 3x3 stem, planes 16, 32 and 64.

    313,786 parameters with 3 channels in.
    """
    return SCNet(
        (3, 3, 3),
        COMPACT,
        num_classes=num_classes,
        in_channels=in_channels,
        features=features,
    )


# The one list of architecture names: the CLI, the zoo and the tests read it.
ARCHITECTURES: dict[str, Callable[..., SCNet]] = {
    network.__name__: network
    for network in (scnet50, scnet50_v1d, scnet101, scnet101_v1d, scnet20, scnet29)
}
