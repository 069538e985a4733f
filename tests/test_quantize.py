"""Calibration statistics, thresholds, placement and Q/DQ writing, on small graphs and on the
bundled model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.data import batches as data_batches
from edge_scnet.data import samples as dataset
from edge_scnet.errors import ArtifactError, DataError, StorageError, TargetError
from edge_scnet.graph import lint
from edge_scnet.graph import names as graph_names
from edge_scnet.graph import run as simulate
from edge_scnet.models import zoo
from edge_scnet.quantize import (
    calibrate,
    correct,
    equalize,
    histogram,
    placement,
    ranges_file,
    recipe,
    statistics,
    summary,
)
from edge_scnet.quantize import thresholds as ranges
from edge_scnet.quantize import write as qdq
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.tool import Built

FAST = QuantScheme(placement="openvino", variant="fast")
TENSORRT = QuantScheme(placement="tensorrt")
ACCURATE = QuantScheme(placement="openvino", variant="accurate")


NO_IMAGES = np.zeros((0, 1, 1, 1), np.float32)


def write(model: ir.Model, placed: placement.Placement, *, weight_bits: int) -> ir.Model:
    """The Q/DQ graph with plainly rounded weights."""
    layers = correct.quantize_layers(
        model, placed.weights, FAST, weight_bits=weight_bits, images=NO_IMAGES
    )
    return qdq.write_qdq(model, placed, layers)


def stats_of(values: np.ndarray, chunks: list[np.ndarray] | None = None) -> statistics.TensorStats:
    accumulator = histogram.Accumulator()
    for chunk in [values] if chunks is None else chunks:
        accumulator.add(chunk.astype(np.float32))
    return accumulator.stats()


def same(a: statistics.TensorStats, b: statistics.TensorStats) -> bool:
    scalars = [(s.minimum, s.maximum, s.elements, s.exponent, s.first_bin) for s in (a, b)]
    return scalars[0] == scalars[1] and np.array_equal(a.counts, b.counts)


@pytest.mark.parametrize("seed", range(12))
def test_statistics_do_not_depend_on_order_or_chunking(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    spread = 10.0 ** rng.uniform(-6, 6)
    values = (rng.standard_normal(4000) * spread * rng.choice([1, 1, 1, 30], 4000)).astype(
        np.float32
    )
    whole = stats_of(values)
    assert whole.counts.sum() == whole.elements == 4000
    for limit in (1, 64, 1 << 17):
        monkeypatch.setattr(histogram, "CHUNK_ELEMENTS", limit)
        shuffled = rng.permutation(values)
        cuts = np.sort(rng.integers(1, 4000, size=7))
        assert same(whole, stats_of(values, np.split(shuffled, cuts)))


def test_bins_hold_the_values_that_lie_in_them() -> None:
    values = np.array([-1.0, -0.25, 0.0, 0.1, 0.5, 1.0, 3.999], np.float32)
    stats = stats_of(values)
    assert stats.counts.size <= histogram.MAX_BINS
    for value in values:
        index = int(np.floor(value / stats.bin_width)) - stats.first_bin
        expected = np.count_nonzero(
            np.floor(values / stats.bin_width) == np.floor(value / stats.bin_width)
        )
        assert stats.counts[index] == expected


def test_a_constant_tensor_and_a_zero_tensor_have_statistics() -> None:
    assert stats_of(np.zeros(10)).maximum == 0.0
    assert stats_of(np.full(10, 7.5)).counts.sum() == 10


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="NaN or infinity"):
        stats_of(np.array([0.0, bad, 1.0]))


def test_calibration_is_the_same_for_every_batch_size_and_order(built: Built) -> None:
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = dataset.open_samples(built.calib, model=spec, role="calibration")
    images = data_batches.load(samples, spec, range(24))
    model = built.folder / "model.onnx"

    def run(chunks: list[np.ndarray]) -> statistics.Ranges:
        return calibrate.calibrate(model, chunks, expected_images=24, samples_hash="x")

    reference = run([images])
    others = [run(np.split(images, 24)), run([images[::-1]]), run([images[:5], images[5:]])]
    for other in others:
        assert all(same(stats, other.tensors[name]) for name, stats in reference.tensors.items())
    assert reference.images == 24
    assert reference.tensors["input"].elements == 24 * 28 * 28


def test_the_histogram_counts_a_fixed_part_of_large_tensors_and_the_extremes_of_all() -> None:
    values = np.linspace(-1, 1, 10 * summary.SAMPLED_ELEMENTS, dtype=np.float32)
    values[1] = 9.0  # between two counted positions
    stats = stats_of(values)
    assert summary.SAMPLED_ELEMENTS // 2 < stats.elements <= summary.SAMPLED_ELEMENTS
    assert (stats.minimum, stats.maximum) == (-1.0, 9.0)
    low, high = ranges.percentile(stats, 50.0)
    assert (low, high) == (pytest.approx(-0.5, abs=0.01), pytest.approx(0.5, abs=0.01))


def test_minmax_needs_no_histogram(built: Built) -> None:
    images = np.zeros((3, 1, 28, 28), np.float32)
    found = calibrate.calibrate(
        built.folder / "model.onnx", [images], expected_images=3, samples_hash="x", histogram=False
    )
    assert all(stats.elements == 0 for stats in found.tensors.values())
    assert ranges.thresholds(found.tensors["input"], "minmax", 99.0) == (0.0, 0.0)


def test_nan_in_an_activation_is_refused_and_the_tensor_named(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    nodes = [A, helper.make_node("Log", ["a"], ["l"], name="l"), conv("l", "w2", "b")]
    onnx.save(graph_of(nodes, W), path)
    images = np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)
    with pytest.raises(DataError, match="NaN or infinity on a calibration image, in 'l'"):
        calibrate.calibrate(path, [images], expected_images=2, samples_hash="x")


def test_a_run_that_cannot_fit_the_memory_is_refused_with_both_figures(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "available_memory_bytes", lambda: 10_000_000)
    with pytest.raises(StorageError, match=r"needs about [\d,]+ MB of memory, 10 MB are free"):
        calibrate.calibrate(
            built.folder / "model.onnx",
            [np.zeros((2, 1, 28, 28), np.float32)],
            expected_images=2,
            samples_hash="x",
        )


def test_the_pilot_images_do_not_depend_on_the_order_of_the_set() -> None:
    hashes = [f"{i * 7919 % 1000:04}" for i in range(50)]
    chosen = [hashes[i] for i in calibrate.pilot_indices(hashes, 8)]
    assert chosen == [hashes[::-1][i] for i in calibrate.pilot_indices(hashes[::-1], 8)]
    assert len(calibrate.pilot_indices(hashes[:3], 8)) == 3


def test_calibration_says_when_images_are_missing(built: Built) -> None:
    with pytest.raises(DataError, match="2 calibration images were read, 3 were listed"):
        calibrate.calibrate(
            built.folder / "model.onnx",
            [np.zeros((2, 1, 28, 28), np.float32)],
            expected_images=3,
            samples_hash="x",
        )


def test_ranges_file_round_trips_and_refuses_others(tmp_path: Path) -> None:
    original = statistics.Ranges(
        tensors={"a": stats_of(np.arange(10.0)), "b/Relu": stats_of(np.zeros(3))},
        factors={"a": np.array([0.5, 1.0], np.float32)},
        drift=statistics.Drift(median_percent=1.0, worst_percent=2.0, worst_tensor="a", images=2),
        images=2,
        model_sha256="m",
        samples_hash="s",
        content_hashes=("h1", "h2"),
    )
    path = tmp_path / "ranges.npz"
    ranges_file.save_ranges(original, path)
    loaded = ranges_file.load_ranges(path)
    assert (loaded.images, loaded.model_sha256, loaded.samples_hash) == (2, "m", "s")
    assert loaded.content_hashes == ("h1", "h2")
    assert loaded.drift == original.drift
    assert list(loaded.factors) == ["a"] and np.array_equal(
        loaded.factors["a"], original.factors["a"]
    )
    assert all(same(stats, loaded.tensors[name]) for name, stats in original.tensors.items())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="not a file of calibration statistics"):
        ranges_file.load_ranges(path)


def test_percentile_cuts_the_tails_evenly_and_never_the_zeros_of_relu() -> None:
    rng = np.random.default_rng(0)
    signed = rng.standard_normal(200_000)

    def in_images(values: np.ndarray) -> statistics.TensorStats:
        return stats_of(values, np.split(values, 20))

    low, high = ranges.percentile(in_images(signed), 99.0)
    assert low == pytest.approx(np.percentile(signed, 0.5), abs=0.02)
    assert high == pytest.approx(np.percentile(signed, 99.5), abs=0.02)
    after_relu = np.maximum(signed, 0)
    low, high = ranges.percentile(in_images(after_relu), 99.0)
    assert low == 0.0
    assert high == pytest.approx(np.percentile(after_relu, 99.5), abs=0.02)
    assert ranges.percentile(in_images(signed), 100.0) == (
        signed.astype(np.float32).min(),
        signed.astype(np.float32).max(),
    )


def test_one_outlier_moves_minmax_but_not_the_percentile() -> None:
    values = np.append(np.random.default_rng(0).uniform(0, 1, 999_999), 100.0)
    stats = stats_of(values, np.split(values, 100))
    assert ranges.thresholds(stats, "minmax", 99.99)[1] == 100.0
    assert ranges.thresholds(stats, "percentile", 99.99)[1] < 1.05


@pytest.mark.parametrize(
    ("low", "high", "zero_point"), [(0.0, 4.0, 0), (0.5, 4.0, 0), (-4.0, 0.0, 255), (-1.0, 3.0, 64)]
)
def test_uint8_parameters_hold_zero_exactly_and_cut_neither_end(
    low: float, high: float, zero_point: int
) -> None:
    params = ranges.uint8_params(low, high)
    assert params.zero_point == zero_point
    assert -params.zero_point * params.scale <= min(low, 0.0) + 1e-6
    assert (255 - params.zero_point) * params.scale >= high - 1e-6


def test_a_tensor_of_zeros_gets_a_positive_scale() -> None:
    assert ranges.uint8_params(0.0, 0.0).scale > 0


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (7, 64)])
def test_weight_codes_stay_within_their_bits_and_close_to_the_weights(
    bits: int, largest: int
) -> None:
    weights = np.random.default_rng(0).standard_normal((16, 8, 3, 3)).astype(np.float32)
    weights[3] = 0.0
    codes, scales = ranges.quantize_weights(weights, axis=0, bits=bits)
    assert codes.dtype == np.int8 and np.abs(codes.astype(int)).max() <= largest
    assert (scales > 0).all() and not codes[3].any()
    restored = codes * scales[:, None, None, None]
    plain = np.abs(weights).reshape(16, -1).max(axis=1) / largest
    plain_restored = (
        np.rint(weights / np.maximum(plain, 1e-9)[:, None, None, None]) * plain[:, None, None, None]
    )
    # scales are chosen by error: never worse than by the peak
    assert ((weights - restored) ** 2).sum() <= ((weights - plain_restored) ** 2).sum()


def test_weight_axis_one_gives_one_scale_a_column() -> None:
    weights = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    codes, scales = ranges.quantize_weights(weights, axis=1, bits=8)
    assert scales.shape == (7,) and codes.shape == (5, 7)
    assert (
        np.abs(codes * scales - weights).max() <= scales.max() * 0.51 + 0.2 * np.abs(weights).max()
    )


def placed(built: Built, scheme: QuantScheme) -> tuple[ir.Model, placement.Placement]:
    """The equalised graph, which the build's statistics are of, and where its Q/DQ go."""
    loaded = ranges_file.load_ranges(built.folder / "ranges.npz")
    model = equalize.equalize(ir.load(built.folder / "model.onnx"), loaded.factors)
    return model, placement.place(
        model, ranges_file.load_ranges(built.folder / "ranges.npz"), scheme
    )


def test_placement_of_the_self_calibrated_block(built: Built) -> None:
    _, fast = placed(built, FAST)
    sites = {site.tensor: site for site in fast.activations}
    block = "layer2.1"
    # inputs of the convolutions, one uint8 Q after the Concat, none on its inputs
    for tensor in (f"{block}.scconv/Mul", f"{block}.scconv.k2.0/AveragePool", f"{block}/Concat"):
        assert tensor in sites
    # the fast variant's three: before the Resize, the gate's product, the residual
    assert {f"{block}.scconv.k2.1", f"{block}.scconv.k3.0", f"{block}.conv3"} <= sites.keys()
    # never: the gate itself, the Resize's output
    assert (
        not {f"{block}.scconv/Sigmoid", f"{block}.scconv/Resize", f"{block}.scconv/Add"}
        & sites.keys()
    )
    _, accurate = placed(built, ACCURATE)
    missing = sites.keys() - {site.tensor for site in accurate.activations}
    assert {f"{block}.scconv.k2.1", f"{block}.scconv.k3.0", f"{block}.conv3"} <= missing
    assert len(accurate.activations) < len(fast.activations)


def test_everything_after_relu_has_zero_point_zero(built: Built) -> None:
    _, fast = placed(built, FAST)
    after_relu = [
        site for site in fast.activations if "/Relu" in site.tensor or "/Concat" in site.tensor
    ]
    assert len(after_relu) > 20
    assert all(site.params.zero_point == 0 for site in after_relu)


def test_average_pools_of_avd_are_quantized_before_and_the_concat_once_after(built: Built) -> None:
    model, fast = placed(built, FAST)
    sites = {site.tensor for site in fast.activations}
    pools = [
        n
        for n in model.graph
        if n.op_type == "AveragePool" and "avd_layer" in graph_names.module_of(n)
    ]
    assert len(pools) == 4
    for pool in pools:
        assert pool.inputs[0] is not None and pool.inputs[0].name in sites
        assert pool.outputs[0].name not in sites


def test_keep_float_leaves_the_named_modules_out(built: Built) -> None:
    scheme = QuantScheme(placement="openvino", keep_float=("layer3.*", "fc"))
    _, some = placed(built, scheme)
    assert some.int8_nodes and not any(
        name.startswith(("layer3.", "fc")) for name in some.int8_nodes
    )


def test_written_graph_is_valid_and_close_to_float(built: Built) -> None:
    model, fast = placed(built, FAST)
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = dataset.open_samples(built.evaluation, model=spec, role="evaluation")
    images = data_batches.load(samples, spec, range(32))
    batches = np.split(images, 32)
    reference = np.concatenate([run[0] for run in simulate.run_onnx(model, batches)])
    found = {}
    for bits in (7, 8):
        written = write(model, fast, weight_bits=bits)
        onnx.checker.check_model(ir.serde.serialize_model(written), full_check=True)
        found[bits] = sqnr_db(
            reference, np.concatenate([run[0] for run in simulate.run_onnx(written, batches)])
        )
    assert found[7] is not None and found[8] is not None
    assert found[7] > 25 and found[8] > found[7]


def test_written_weights_are_int8_and_biases_stay_float(built: Built) -> None:
    written = ir.load(built.folder / "model.qdq.onnx")
    for node in written.graph:
        if node.op_type == "Conv":
            weights, bias = node.inputs[1], node.inputs[2]
            assert (
                weights is not None
                and weights.producer() is not None
                and weights.producer().op_type == "DequantizeLinear"
            )
            assert weights.producer().inputs[0].dtype == ir.DataType.INT8
            assert bias is not None and bias.is_initializer() and bias.dtype == ir.DataType.FLOAT
    assert (built.folder / "model.qdq.onnx").stat().st_size < (
        built.folder / "model.onnx"
    ).stat().st_size


def graph_of(
    nodes: list[onnx.NodeProto],
    weights: dict[str, tuple[int, ...]],
    shape: tuple[int, ...] = (1, 4, 8, 8),
) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n)
        for n, s in weights.items()
    ]
    constants.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", 1, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], 1, None)],
        constants,
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )


def conv(source: str, weight: str, output: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [output], pads=[1] * 4, name=output)


W = {"w1": (4, 4, 3, 3), "w2": (4, 4, 3, 3)}
A = conv("input", "w1", "a")
SIGMOID = helper.make_node("Sigmoid", ["a"], ["s"], name="s")
USERS_GRAPHS = {
    "interpolating resize": [
        A,
        helper.make_node("Resize", ["a", "", "twice"], ["r"], mode="linear", name="r"),
        conv("r", "w2", "b"),
    ],
    "sigmoid before a convolution": [A, SIGMOID, conv("s", "w2", "b")],
    "sigmoid, pool, convolution": [
        A,
        SIGMOID,
        helper.make_node("MaxPool", ["s"], ["p"], kernel_shape=[2, 2], name="p"),
        conv("p", "w2", "b"),
    ],
    "one weight for two convolutions": [A, conv("a", "w1", "b")],
    "relu6": [
        A,
        helper.make_node("Clip", ["a", "zero", "six"], ["c"], name="c"),
        conv("c", "w2", "b"),
    ],
    "output that is consumed too": [
        A,
        conv("a", "w2", "b"),
        helper.make_node("Add", ["a", "b"], ["y"], name="y"),
    ],
}


@pytest.mark.parametrize("name", USERS_GRAPHS)
@pytest.mark.parametrize("batch", [1, 3])
def test_graphs_that_users_bring(name: str, batch: int, tmp_path: Path) -> None:
    model = graph_of(USERS_GRAPHS[name], W, (batch, 4, 8, 8))
    for bound, value in (("zero", 0.0), ("six", 6.0)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), bound))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    images = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
    statistics_ = calibrate.calibrate(
        path, [images[:5], images[5:]], expected_images=8, samples_hash="x"
    )
    loaded = ir.load(path)
    result = placement.place(
        loaded, statistics_, QuantScheme(placement="openvino", thresholds="minmax")
    )
    written = write(loaded, result, weight_bits=8)
    onnx.checker.check_model(ir.serde.serialize_model(written), full_check=True)
    data = images[:batch]
    quality = sqnr_db(
        simulate.run_onnx(loaded, [data])[0][0], simulate.run_onnx(written, [data])[0][0]
    )
    assert quality is not None and quality > 25
    assert len(result.int8_nodes) == 2


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("batch", [1, 3])
def test_summaries_from_inside_the_graph_are_those_of_the_arrays(opset: int, batch: int) -> None:
    nodes = [A, conv("a", "w2", "b"), helper.make_node("Flatten", ["b"], ["f"], name="f")]
    proto = graph_of(nodes, W, (batch, 4, 40, 40))
    proto.opset_import[0].version = opset
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))
    names = [str(model.graph.inputs[0].name), "a", "b", "f"]
    images = np.random.default_rng(1).standard_normal((4, 4, 40, 40)).astype(np.float32)
    inside = list(summary.Summarizer(model, names).run([images]))
    arrays = list(simulate.Observer(model, names).run([images]))
    assert len(inside) == len(arrays) == 4
    for found, values in zip(inside, arrays, strict=True):
        for name in names:
            wanted = summary.summarize(values[name])
            np.testing.assert_array_equal(found[name].low, wanted.low)
            np.testing.assert_array_equal(found[name].high, wanted.high)
            np.testing.assert_array_equal(found[name].sample, wanted.sample)
            assert found[name].finite


def test_a_larger_static_batch_gives_the_statistics_of_the_images_alone(tmp_path: Path) -> None:
    images = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
    found = []
    for batch in (1, 3):
        path = tmp_path / f"{batch}.onnx"
        onnx.save(
            graph_of(
                USERS_GRAPHS["relu6"][:1] + USERS_GRAPHS["one weight for two convolutions"][1:],
                W,
                (batch, 4, 8, 8),
            ),
            path,
        )
        found.append(calibrate.calibrate(path, [images], expected_images=8, samples_hash="x"))
    assert all(
        stats.elements == found[1].tensors[name].elements
        for name, stats in found[0].tensors.items()
    )
    assert same(found[0].tensors["input"], found[1].tensors["input"])


def test_known_range_of_a_sigmoid_needs_no_statistics(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(graph_of(USERS_GRAPHS["sigmoid before a convolution"], W), path)
    images = np.random.default_rng(1).standard_normal((4, 4, 8, 8)).astype(np.float32)
    result = placement.place(
        ir.load(path),
        calibrate.calibrate(path, [images], expected_images=4, samples_hash="x"),
        FAST,
    )
    site = next(site for site in result.activations if site.tensor == "s")
    assert (site.params.zero_point, site.params.scale) == (0, pytest.approx(1 / 255))


def test_a_pattern_that_matches_nothing_is_refused_with_names_like_it(built: Built) -> None:
    with pytest.raises(TargetError, match="'layer9' matches no convolution") as caught:
        placed(built, QuantScheme(placement="openvino", keep_float=("layer9",)))
    assert "layer" in str(caught.value.hint)


def signed_pool_model() -> onnx.ModelProto:
    """conv -> (signed) -> padded average pool and convolution: the pool must see the float tensor."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((4, 4, 3, 3)).astype(np.float32), name)
        for name in ("w1", "w2", "w3")
    ]
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node(
            "AveragePool",
            ["a"],
            ["p"],
            kernel_shape=[3, 3],
            pads=[1] * 4,
            count_include_pad=1,
            name="pool",
        ),
        helper.make_node("Conv", ["p", "w2"], ["b"], pads=[1] * 4, name="second"),
        helper.make_node("Conv", ["a", "w3"], ["c"], pads=[1] * 4, name="third"),
        helper.make_node("Concat", ["b", "c"], ["logits"], axis=1, name="join"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", 1, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("logits", 1, [1, 8, 8, 8])],
        weights,
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )


@pytest.mark.parametrize("between", ["MaxPool", "Pad"])
def test_a_padded_pool_behind_an_operator_that_passes_the_zero_point_on(
    between: str, tmp_path: Path
) -> None:
    middle = (
        helper.make_node("MaxPool", ["a"], ["m"], kernel_shape=[1, 1], name="between")
        if between == "MaxPool"
        else helper.make_node("Pad", ["a", "pads"], ["m"], name="between")
    )
    pads = [0] * 4 if between == "Pad" else [1] * 4
    nodes = [
        conv("input", "w1", "a"),
        middle,
        helper.make_node(
            "AveragePool",
            ["m"],
            ["p"],
            kernel_shape=[3, 3],
            pads=pads,
            count_include_pad=1,
            name="pool",
        ),
        conv("a", "w2", "c"),
        helper.make_node("Add", ["p", "c"], ["y"], name="y"),
    ]
    model = graph_of(nodes, W)
    model.graph.initializer.append(
        numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
    )
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    images = np.random.default_rng(1).standard_normal((4, 4, 8, 8)).astype(np.float32)
    result = placement.place(
        ir.load(path),
        calibrate.calibrate(path, [images], expected_images=4, samples_hash="x"),
        FAST,
    )
    assert next(site for site in result.activations if site.tensor == "a").float_consumers == (
        "between",
    )


def test_a_padded_pool_on_a_signed_tensor_reads_the_float_tensor(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(signed_pool_model(), path)
    images = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
    statistics = calibrate.calibrate(path, [images], expected_images=8, samples_hash="x")
    model = ir.load(path)
    result = placement.place(model, statistics, FAST)
    site = next(site for site in result.activations if site.tensor == "a")
    assert site.params.zero_point != 0 and site.float_consumers == ("pool",)
    written = write(model, result, weight_bits=7)
    pool = next(node for node in written.graph if node.name == "pool")
    assert pool.inputs[0].name == "a"
    third = next(node for node in written.graph if node.name == "third")
    assert third.inputs[0].name == "a_dq"


def long_tail(size: int = 200_000) -> statistics.TensorStats:
    rng = np.random.default_rng(0)
    values = np.maximum(rng.laplace(size=size), 0) * rng.choice([1, 8], size, p=[0.9999, 0.0001])
    return stats_of(values, np.split(values, 20))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_expected_error_is_that_of_quantizing_the_values(dtype: Literal["uint8", "int8"]) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(100_000).astype(np.float32)
    for low, high in [(-5.0, 5.0), (-2.0, 3.0), (-1.0, 1.0)]:
        params = ranges.activation_params(low, high, dtype=dtype)
        lowest, highest = (0, 255) if dtype == "uint8" else (-127, 127)
        codes = np.clip(np.rint(values / params.scale) + params.zero_point, lowest, highest)
        true = float(((values - (codes - params.zero_point) * params.scale) ** 2).mean())
        assert ranges.expected_error(stats_of(values), low, high, dtype=dtype) == pytest.approx(
            true, rel=0.1
        )


def test_mse_has_the_least_expected_error_and_auto_is_no_worse_than_any() -> None:
    stats = long_tail()
    errors = {
        method: ranges.expected_error(stats, *ranges.thresholds(stats, method, 99.99))
        for method in ("minmax", "percentile", "entropy", "mse", "auto")
    }
    assert errors["auto"] == min(errors.values())
    assert errors["mse"] <= min(errors["minmax"], errors["percentile"], errors["entropy"])


def test_entropy_cuts_the_tail_and_not_the_body_of_a_relu() -> None:
    stats = long_tail()
    low, high = ranges.entropy(stats)
    assert low == 0.0
    # 99.9 % of the values are below 6.2, the largest are near 60
    assert 5.0 < high < 40.0
    assert ranges.entropy(stats_of(np.zeros(50))) == (0.0, 0.0)


@pytest.mark.parametrize(("low", "high"), [(-2.0, 1.0), (0.0, 3.0), (0.0, 0.0)])
def test_int8_parameters_are_symmetric(low: float, high: float) -> None:
    params = ranges.int8_params(low, high)
    assert (params.zero_point, params.dtype) == (0, "int8")
    assert params.scale > 0 and 127 * params.scale == pytest.approx(max(-low, high), abs=1e-6)


def test_tensorrt_placement_of_the_self_calibrated_block(built: Built) -> None:
    model, result = placed(built, TENSORRT)
    sites = {site.tensor: site for site in result.activations}
    assert all(
        (site.params.dtype, site.params.zero_point) == ("int8", 0) for site in sites.values()
    )
    block = "layer2.1"
    # inputs of the convolutions and pools, one Q/DQ after the Concat, both inputs of the product,
    # the Resize side of the gate
    for tensor in (
        f"{block}.scconv/Mul",
        f"{block}/Concat",
        f"{block}.scconv.k3.0",
        f"{block}.scconv/Sigmoid",
        f"{block}.scconv.k2.1",
    ):
        assert tensor in sites, tensor
    # the residual: the skip side only, and never a convolution's output that fuses with the sum
    assert f"{block}.conv3" not in sites and "layer2.0.conv3" not in sites
    assert "layer2.0.downsample.1" in sites
    adds = {
        str(node.name)
        for node in model.graph
        if node.op_type == "Add" and str(node.name).startswith(f"{block}/")
    }
    skip = next(site for site in sites.values() if site.tensor == "layer2.0.relu/Relu#5")
    assert not adds & set(skip.float_consumers)
    # every average pool reads int8
    for node in model.graph:
        if node.op_type == "AveragePool":
            assert node.inputs[0] is not None and node.inputs[0].name in sites


def test_tensorrt_scheme_writes_a_graph_that_is_close_to_float(built: Built) -> None:
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = dataset.open_samples(built.evaluation, model=spec, role="evaluation")
    batches = np.split(data_batches.load(samples, spec, range(32)), 32)
    model = ir.load(built.folder / "model.onnx")
    result = recipe.assemble(
        recipe.prepare(
            model,
            ranges_file.load_ranges(built.folder / "ranges.npz"),
            TENSORRT,
            weight_bits=8,
            images=np.concatenate(batches),
        )
    )
    assert lint.lint(result.model, "tensorrt", keep_float=["fc"]) == ()
    onnx.checker.check_model(ir.serde.serialize_model(result.model), full_check=True)
    reference = np.concatenate([run[0] for run in simulate.run_onnx(model, batches)])
    found = sqnr_db(
        reference, np.concatenate([run[0] for run in simulate.run_onnx(result.model, batches)])
    )
    assert found is not None and found > 27


def test_a_small_classifier_stays_in_float_and_a_large_one_does_not(tmp_path: Path) -> None:
    for classes, quantized in ((10, False), (20_000, True)):
        weights = {"w1": (4, 4, 3, 3), "fc": (classes, 4)}
        nodes = [
            A,
            helper.make_node("GlobalAveragePool", ["a"], ["g"], name="g"),
            helper.make_node("Flatten", ["g"], ["f"], name="f"),
            helper.make_node("Gemm", ["f", "fc"], ["y"], transB=1, name="y"),
        ]
        path = tmp_path / f"{classes}.onnx"
        onnx.save(graph_of(nodes, weights), path)
        images = np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)
        statistics_ = calibrate.calibrate(path, [images], expected_images=2, samples_hash="x")
        assert ("y" in placement.place(ir.load(path), statistics_, FAST).int8_nodes) is quantized


def test_quantizing_a_quantized_graph_is_refused(built: Built) -> None:
    with pytest.raises(ArtifactError, match="holds Q/DQ already"):
        recipe.assemble(
            recipe.prepare(
                ir.load(built.folder / "model.qdq.onnx"),
                ranges_file.load_ranges(built.folder / "ranges.npz"),
                FAST,
                weight_bits=8,
                images=NO_IMAGES,
            )
        )
