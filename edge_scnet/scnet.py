"""SCNet in PyTorch: the self-calibrated convolution, its bottleneck and the networks built of them.

Owns the modules and their state-dict names, which equal the official checkpoints'. Knows nothing of
weights files, preprocessing, export or quantization.

Source: Liu, Hou, Cheng, Wang, Feng, "Improving Convolutional Networks with Self-Calibrated
Convolutions", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch  # noqa: TID253  the network is torch; nothing imports this module before a torch stage runs
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

POOLING_R = 4
EXPANSION = 4


class SCConv(nn.Module):
    """Self-calibrated convolution (section 3.1 of the paper), N x C x H x W in, N x C x H/s x W/s
    out.

    `gate = sigmoid(x + resize(k2(x)))`, `out = k4(k3(x) * gate)`. The resize goes to the size of
    `x`, not by a factor: at 224 px stage 3 pools 14 to 3 and stage 4 pools 7 to 1.
    """

    def __init__(self, channels: int, *, stride: int, dilation: int, groups: int) -> None:
        super().__init__()

        def conv(step: int) -> nn.Conv2d:
            return nn.Conv2d(channels, channels, 3, step, dilation, dilation, groups, bias=False)

        pool = nn.AvgPool2d(POOLING_R, POOLING_R)
        self.k2 = nn.Sequential(pool, conv(1), nn.BatchNorm2d(channels))
        self.k3 = nn.Sequential(conv(1), nn.BatchNorm2d(channels))
        self.k4 = nn.Sequential(conv(stride), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        calibration = F.interpolate(self.k2(x), x.shape[2:], mode="nearest")
        return self.k4(self.k3(x) * torch.sigmoid(x + calibration))  # type: ignore[no-any-return]


class SCBottleneck(nn.Module):
    """Two parallel branches, one plain (k1) and one self-calibrated (scconv), joined by a 1x1
    convolution.
    """

    def __init__(
        self,
        inplanes: int,
        planes: int,
        *,
        stride: int = 1,
        downsample: nn.Module | None = None,
        cardinality: int = 1,
        bottleneck_width: int = 32,
        avd: bool = False,
        dilation: int = 1,
        is_first: bool = False,
    ) -> None:
        super().__init__()
        width = int(planes * bottleneck_width / 64) * cardinality
        self.conv1_a = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1_a = nn.BatchNorm2d(width)
        self.conv1_b = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1_b = nn.BatchNorm2d(width)
        # avd moves the stride from the convolutions into an average pool behind them
        self.avd_layer = (
            nn.AvgPool2d(3, stride, padding=1) if avd and (stride > 1 or is_first) else None
        )
        conv_stride = stride if self.avd_layer is None else 1
        self.k1 = nn.Sequential(
            nn.Conv2d(width, width, 3, conv_stride, dilation, dilation, cardinality, bias=False),
            nn.BatchNorm2d(width),
        )
        self.scconv = SCConv(width, stride=conv_stride, dilation=dilation, groups=cardinality)
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
    """A stack of SCBottleneck stages: a classifier (logits N x num_classes), or a backbone where
    `features` is given.

    Args:
        layers: blocks per stage.
        planes: planes of the first stage; they double with every stage.
        stem: "7x7" (conv, BN, ReLU, max pool), "deep" (three 3x3 convolutions), "3x3" (stride 1, no
            pool: small inputs).
        stem_width: channels of the first convolution of a deep stem.
        avg_down: an average pool and a stride-1 1x1 convolution in the shortcut, instead of a
            strided convolution.
        avd: an average pool instead of a strided 3x3 convolution (ResNeSt's "avd").
        dilated, dilation: output stride 8 (`dilated=True` or `dilation=4`) or 16 (`dilation=2`).
        features: names of stages ("layer2", ...): forward then returns their outputs as a tuple,
            and the network has no pooling and no `fc`, which is what detection and segmentation
            heads want.

    Raises:
        ValueError: an unknown stem or stage in `features`, or a dilation other than 1, 2 and 4.
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        planes: int = 64,
        stem: str = "7x7",
        stem_width: int = 32,
        avg_down: bool = False,
        avd: bool = False,
        dilated: bool = False,
        dilation: int = 1,
        features: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if dilation not in (1, 2, 4):
            raise ValueError(f"dilation must be 1, 2 or 4, got {dilation}")
        if stem not in ("7x7", "deep", "3x3"):
            raise ValueError(f"stem must be 7x7, deep or 3x3, got {stem!r}")
        self.stages = tuple(f"layer{i + 1}" for i in range(len(layers)))
        if unknown := [name for name in features if name not in self.stages]:
            raise ValueError(
                f"unknown feature stage {unknown[0]!r}; stages are {', '.join(self.stages)}"
            )
        self.features = tuple(features)
        self._avg_down, self._avd = avg_down, avd

        if stem == "deep":
            w = stem_width
            self.conv1: nn.Module = nn.Sequential(
                nn.Conv2d(in_channels, w, 3, 2, 1, bias=False),
                nn.BatchNorm2d(w),
                nn.ReLU(inplace=True),
                nn.Conv2d(w, w, 3, 1, 1, bias=False),
                nn.BatchNorm2d(w),
                nn.ReLU(inplace=True),
                nn.Conv2d(w, 2 * w, 3, 1, 1, bias=False),
            )
            self._inplanes = 2 * w
        elif stem == "3x3":
            self.conv1 = nn.Conv2d(in_channels, planes, 3, 1, 1, bias=False)
            self._inplanes = planes
        else:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
            self._inplanes = 64
        self.bn1 = nn.BatchNorm2d(self._inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool: nn.Module = nn.Identity() if stem == "3x3" else nn.MaxPool2d(3, 2, 1)

        rates = {3: 2, 4: 4} if dilated or dilation == 4 else {4: 2} if dilation == 2 else {}
        for index, (name, blocks) in enumerate(zip(self.stages, layers, strict=True), start=1):
            rate = rates.get(index, 1)
            stride = 1 if index == 1 or rate > 1 else 2
            # is_first: only stage 1 is built with False in the official code (its input is already
            # pooled)
            stage = self._make_stage(
                planes * 2 ** (index - 1), blocks, stride, rate, is_first=index > 1
            )
            self.add_module(name, stage)
        if not self.features:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(self._inplanes, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _make_stage(
        self, planes: int, blocks: int, stride: int, dilation: int, *, is_first: bool
    ) -> nn.Sequential:
        out = planes * EXPANSION
        downsample: nn.Module | None = None
        if stride != 1 or self._inplanes != out:
            norm = nn.BatchNorm2d(out)
            if self._avg_down:
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
                downsample=downsample,
                avd=self._avd,
                dilation=first_dilation,
                is_first=is_first,
            )
        ]
        self._inplanes = out
        stage += [
            SCBottleneck(out, planes, avd=self._avd, dilation=dilation) for _ in range(blocks - 1)
        ]
        return nn.Sequential(*stage)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outputs: dict[str, Tensor] = {}
        for name in self.stages:
            outputs[name] = x = self.get_submodule(name)(x)
        if self.features:
            return tuple(outputs[name] for name in self.features)
        return self.fc(torch.flatten(self.avgpool(x), 1))  # type: ignore[no-any-return]


def scnet50(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dilated: bool = False,
    dilation: int = 1,
    features: Sequence[str] = (),
) -> SCNet:
    """SCNet-50: stages 3-4-6-3, 7x7 stem, 25,564,584 parameters, 77.81 % top-1 on ImageNet (paper,
    table 2).
    """
    return SCNet(
        (3, 4, 6, 3),
        num_classes=num_classes,
        in_channels=in_channels,
        dilated=dilated,
        dilation=dilation,
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
    """SCNet-50 v1d: deep stem of width 32, average pools for strides, 25,583,816 parameters, 80.47
    % top-1.
    """
    return SCNet(
        (3, 4, 6, 3),
        num_classes=num_classes,
        in_channels=in_channels,
        stem="deep",
        stem_width=32,
        avg_down=True,
        avd=True,
        dilated=dilated,
        dilation=dilation,
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
    """SCNet-101: stages 3-4-23-3, 7x7 stem, 44,565,416 parameters, 78.94 % top-1."""
    return SCNet(
        (3, 4, 23, 3),
        num_classes=num_classes,
        in_channels=in_channels,
        dilated=dilated,
        dilation=dilation,
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
    """SCNet-101 v1d: deep stem of width 64, average pools for strides, 44,689,192 parameters."""
    return SCNet(
        (3, 4, 23, 3),
        num_classes=num_classes,
        in_channels=in_channels,
        stem="deep",
        stem_width=64,
        avg_down=True,
        avd=True,
        dilated=dilated,
        dilation=dilation,
        features=features,
    )


def _compact(blocks: int, num_classes: int, in_channels: int, features: Sequence[str]) -> SCNet:
    return SCNet(
        (blocks,) * 3,
        num_classes=num_classes,
        in_channels=in_channels,
        planes=16,
        stem="3x3",
        avg_down=True,
        avd=True,
        features=features,
    )


def scnet20(num_classes: int = 10, in_channels: int = 3, *, features: Sequence[str] = ()) -> SCNet:
    """Compact form for small inputs: stages 2-2-2, planes 16/32/64, 3x3 stem; 220,826 parameters
    with 3 channels in.
    """
    return _compact(2, num_classes, in_channels, features)


def scnet29(num_classes: int = 10, in_channels: int = 3, *, features: Sequence[str] = ()) -> SCNet:
    """Compact form for small inputs: stages 3-3-3, planes 16/32/64, 3x3 stem; 313,786 parameters
    with 3 channels in.
    """
    return _compact(3, num_classes, in_channels, features)


# The one list of architecture names: the CLI, the zoo and the tests read it.
ARCHITECTURES: dict[str, Callable[..., SCNet]] = {
    f.__name__: f for f in (scnet50, scnet50_v1d, scnet101, scnet101_v1d, scnet20, scnet29)
}
