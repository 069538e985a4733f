"""Whose turn it is: the order of children, blocks and windows."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.core.spec import InputForm
from edge_scnet.data.samples import SampleSet
from edge_scnet.profiler import turns
from edge_scnet.stats.figures import EndToEnd, PreparedAhead
from tests.helpers.engines import SPEC, quiet


class FakeChild:
    """Answers blocks and writes down when it was asked."""

    def __init__(self, name: str, asked: list[tuple[str, float, int]]) -> None:
        self.name, self.asked = name, asked

    def call(self, method: str, seconds: float, min_runs: int) -> tuple[list[int], int]:
        assert method == "timed_block"
        self.asked.append((self.name, seconds, min_runs))
        return [len(self.asked)] * min_runs, 1000 + len(self.asked)


def test_blocks_alternate_and_the_order_turns() -> None:
    asked: list[tuple[str, float, int]] = []
    fakes: Any = [FakeChild(name, asked) for name in "abc"]
    blocks = [turns.TimedBlocks() for _ in fakes]
    turns.time_blocks(fakes, 3.0, quiet, blocks)
    order = "".join(name for name, _, _ in asked)
    rounds = [order[i : i + 3] for i in range(0, len(order), 3)]
    assert len(rounds) >= 12 and all(sorted(turn) == list("abc") for turn in rounds)
    assert all([turn[0] for turn in rounds].count(name) >= len(rounds) // 3 for name in "abc"), (
        "each is first equally often"
    )
    for i, name in enumerate("abc"):
        mine = [entry for entry in asked if entry[0] == name]
        assert sum(seconds for _, seconds, _ in mine) == pytest.approx(3.0)
        assert sum(len(block) for block in blocks[i].times_ns) >= turns.MIN_RUNS
        # block by block in the order measured: the ratios pair the blocks of one round
        assert [block[0] for block in blocks[i].times_ns] == [
            k + 1 for k, entry in enumerate(asked) if entry[0] == name
        ]
        assert [resident - 1000 for resident in blocks[i].resident_bytes] == [
            block[0] for block in blocks[i].times_ns
        ]
        before = [order[k - 1] for k in range(1, len(order)) if order[k] == name]
        assert all(before.count(other) >= 5 for other in set("abc") - {name}), (
            "each follows both others"
        )


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_everyone_has_every_place_equally_often(count: int) -> None:
    orders = [turns.turn_order(count, number) for number in range(2 * count)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    for place in range(count):
        assert sorted(order[place] for order in orders) == [
            i for i in range(count) for _ in range(2)
        ]


def test_throughput_windows_alternate_and_are_kept_in_their_rounds() -> None:
    asked: list[tuple[str, str, float]] = []

    class Fake:
        def __init__(self, name: str, first_rate: float) -> None:
            self.name, self.rates = name, itertools.count(first_rate)

        def call(self, method: str, seconds: float) -> float:
            asked.append((self.name, method, seconds))
            return next(self.rates) if method == "throughput" else 0.001

    fakes: Any = [Fake("a", 10), Fake("b", 50)]
    shares: list[float] = []
    windows = turns.measure_throughput(
        fakes, 3.0, lambda what, share, *counted: shares.append(share)
    )
    assert windows == [tuple(range(10, 22)), tuple(range(50, 62))]
    assert [(name, method) for name, method, _ in asked[:2]] == [
        ("a", "open_throughput"),
        ("b", "open_throughput"),
    ]
    assert [(name, method, seconds) for name, method, seconds in asked[2:]] == [
        (name, "throughput", 0.25) for name in "abbabaab" * 3
    ]
    assert shares == sorted(shares) and shares[-1] == 1


@pytest.mark.parametrize(
    ("seconds", "run_seconds", "windows"),
    [
        (3.0, 0.0005, 12),
        (3.0, 0.0125, 12),
        (3.0, 0.02, 7),
        (3.0, 0.2, 6),  # a second each was too short for it before
        (0.1, 0.0005, 6),
        (0.85, 0.001, 8),
        (60.0, 0.001, 12),
    ],
)
def test_there_are_as_many_windows_as_have_room_for_many_inferences(
    seconds: float, run_seconds: float, windows: int
) -> None:
    assert turns.window_count(seconds, run_seconds) == windows


@pytest.mark.parametrize("seconds", [0.1, 0.25, 0.6, 1.2, 3.0, 10.0])
@pytest.mark.parametrize("run_seconds", [0.0005, 0.004, 0.0125, 0.025, 0.1, 1.0])
def test_throughput_takes_at_most_a_third_longer_than_three_windows_did(
    seconds: float, run_seconds: float
) -> None:
    """In a model of the child: windows end with the inference that is running."""

    def spent(windows: int, refill: float) -> float:
        refilled = math.ceil(refill / run_seconds) * run_seconds
        return windows * (refilled + math.ceil(seconds / windows / run_seconds) * run_seconds)

    windows = turns.window_count(seconds, run_seconds)
    refill = min(0.03, seconds / windows / 2)
    now = spent(windows, refill if run_seconds <= refill else 0.0)
    assert now <= 4 / 3 * spent(3, 0.03) + 1e-9


def test_end_to_end_windows_alternate_and_all_of_them_count(samples: SampleSet) -> None:
    asked: list[str] = []

    class Fake:
        engine = SimpleNamespace(input=InputForm())
        batch = 2

        def __init__(self, name: str, ns: int) -> None:
            self.name, self.ns = name, ns

        def call(
            self, method: str, images: SampleSet, spec: Any, seconds: float
        ) -> list[tuple[int, ...]]:
            assert method == "end_to_end" and images is samples and seconds == pytest.approx(0.1)
            asked.append(self.name)
            return [(self.ns, self.ns, 7 * self.ns, self.ns)] * 2

    fakes: Any = [Fake("a", 1_000_000), Fake("b", 2_000_000)]
    first, second = turns.time_end_to_end(fakes, samples, SPEC, 0.3, quiet)
    assert asked == list("abbaba") and first is not None and second is not None
    assert first.stages_ms == {"decode": 1.0, "preprocess": 1.0, "infer": 7.0, "top-k": 1.0}
    assert (first.images, first.p50_ms, first.images_per_second, second.p50_ms) == (
        12,
        10.0,
        200.0,
        20.0,
    )


class Loop:
    """A child whose engine takes 1 ms, and in a loop 1.1 ms."""

    batch = 2

    def __init__(self, name: str, threads: int, *, on_cpu: bool = True) -> None:
        self.name, self.on_cpu, self.asked = name, on_cpu, []
        self.engine = SimpleNamespace(input=InputForm(), options=SimpleNamespace(threads=threads))

    def call(self, method: str, *args: Any) -> tuple[float, float] | None:
        self.asked.append((method, args[0] if method == "open_ahead" else args[2]))
        return None if method == "open_ahead" else (1_000_000, 1_100_000)


PLAIN = EndToEnd(images=2, p50_ms=3.0, p90_ms=3.0, stages_ms={"infer": 3.0}, images_per_second=1.0)


def test_engines_leave_a_core_to_the_loop_that_prepares_ahead(
    samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "granted_cores", lambda: 4)
    fakes: Any = [Loop("all", 0), Loop("two", 2), Loop("four", 4), Loop("gpu", 0, on_cpu=False)]
    found = turns.time_ahead([PLAIN] * 4, fakes, samples, SPEC, 0.5, quiet)
    assert [fake.asked[0] for fake in fakes] == [("open_ahead", n) for n in (3, 2, 3, 0)]
    assert fakes[0].asked[1:] == [("ahead", pytest.approx(0.1))] * 5
    for times, threads in zip(found, (3, 2, 3, 0), strict=True):
        assert times == replace(
            PLAIN,
            ahead=PreparedAhead(
                threads=threads,
                batch_ms=pytest.approx(1.1),
                infer_ms=1.0,
                overhead_percent=pytest.approx(10),
                images_per_second=pytest.approx(2 / 1.1e-3),
            ),
        )


def test_one_core_prepares_nothing_ahead_and_says_so(
    samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "granted_cores", lambda: 1)
    fake: Any = Loop("a", 0)
    (found,) = turns.time_ahead([PLAIN], [fake], samples, SPEC, 0.5, quiet)
    assert found == replace(PLAIN, no_ahead="there is one core, and it takes a second")
    assert not fake.asked
