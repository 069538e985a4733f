"""The rows of `ptq_peers.py`: quantizers and their settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from edge_scnet.config.target import load_target

MANY = 1000  # images of another run on SCNet-50, for our memory


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    group: str
    label: str
    options: dict[str, Any]
    file: str = "model.onnx"
    openvino: bool = True  # whether OpenVINO is what the file is for
    many: bool = False  # on MANY images, for time and memory only


def all_rows(bits: int) -> list[Row]:
    """`bits` are those that suit this machine; the first row is our default, which latencies are
    compared with.
    """

    def ours(name: str, label: str, weight_bits: int = bits, **changes: Any) -> Row:
        settings = {key: changes.pop(key) for key in ("openvino", "many") if key in changes}
        scheme = asdict(replace(load_target("cpu").quant, **changes))
        label, options = (
            f"ours, {label}, {weight_bits}-bit weights",
            {
                "scheme": scheme,
                "weight_bits": weight_bits,
            },
        )
        return Row(name=f"ours-{name}", group="ours", label=label, options=options, **settings)

    def peer(
        group: str, title: str, name: str, label: str, file: str = "model.onnx", **options: Any
    ) -> Row:
        return Row(
            name=f"{group}-{name}",
            group=group,
            label=f"{title} {label}",
            options=options,
            file=file,
        )

    plain = {
        "thresholds": "minmax",
        "equalization": 0.0,
        "rounding": "nearest",
        "bias_correction": False,
    }
    unsigned, signed = {"activations": "uint8"}, {"activations": "int8"}
    return [
        *(
            ours(f"{v}-{b}", f"openvino {v}", b, variant=v)
            for v in ("fast", "accurate")
            for b in (bits, 15 - bits)
        ),
        *(
            ours(t, f"openvino fast, {t}", thresholds=t)
            for t in ("minmax", "percentile", "entropy", "mse", "auto")
        ),
        ours("unequalized", "openvino fast, no equalisation", equalization=0.0),
        ours("nearest", "openvino fast, nearest rounding", rounding="nearest"),
        ours("uncorrected", "openvino fast, no bias correction", bias_correction=False),
        ours("plain", "openvino fast, minmax and no corrections", **plain),
        ours("tensorrt", "tensorrt", 8, placement="tensorrt", openvino=False),
        ours("many", f"openvino fast on {MANY:,} images", many=True),
        ours(
            "plain-many",
            f"openvino fast, minmax and no corrections on {MANY:,} images",
            many=True,
            **plain,
        ),
        ours(
            "minmax-many",
            f"openvino fast, minmax on {MANY:,} images",
            thresholds="minmax",
            many=True,
        ),
        peer("nncf", "NNCF", "openvino", "OpenVINO backend", "model.xml"),
        peer(
            "nncf",
            "NNCF",
            "openvino-mixed",
            "OpenVINO backend, preset mixed",
            "model.xml",
            mixed=True,
        ),
        peer(
            "nncf",
            "NNCF",
            "openvino-7",
            "OpenVINO backend, overflow_fix (7-bit)",
            "model.xml",
            overflow_fix=True,
        ),
        peer("nncf", "NNCF", "onnx", "ONNX backend"),
        peer("ort", "ORT", "u8-minmax", "uint8 min-max", method="MinMax", **unsigned),
        peer("ort", "ORT", "u8-percentile", "uint8 percentile", method="Percentile", **unsigned),
        peer(
            "ort",
            "ORT",
            "u8-percentile-7",
            "uint8 percentile, reduce_range (7-bit)",
            method="Percentile",
            reduce_range=True,
            **unsigned,
        ),
        peer("ort", "ORT", "u8-entropy", "uint8 entropy", method="Entropy", **unsigned),
        peer(
            "ort",
            "ORT",
            "s8-minmax",
            "int8 symmetric min-max, float bias",
            method="MinMax",
            **signed,
        ),
        peer(
            "ort",
            "ORT",
            "s8-percentile",
            "int8 symmetric percentile, float bias",
            method="Percentile",
            **signed,
        ),
        peer("modelopt", "ModelOpt", "entropy", "entropy", method="entropy"),
        peer("modelopt", "ModelOpt", "max", "max", method="max"),
    ]
