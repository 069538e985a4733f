"""Random networks of users' operators are proven or refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.machine.linux import machine_flags, usable_cores
from tests.end_to_end.fuzz_graphs import check, seeded
from tests.helpers.random_graphs import random_model

# OpenVINO 2026.4.1 computes the network of this seed wrongly on AVX-512 with one thread, by 88 dB
# more noise than signal; with two threads, and on AVX2, it is right. The build refuses it there.
_REFUSED_WITH_ONE_THREAD = {1: "the compiled engine does not compute what model.qdq.onnx says"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "seeds",
    [
        range(6),
        *(pytest.param(range(6 * i, 6 * i + 6), marks=pytest.mark.soak) for i in (1, 2, 3, 4)),
    ],
    ids=lambda seeds: str(seeds.start),
)
def test_a_random_network_is_built_or_refused_and_never_a_bug(tmp_path: Path, seeds: range) -> None:
    answers = {}
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        answers[seed] = check(random_model(seeded(seed), seed), folder)
    wrong = {seed: answer.words for seed, answer in answers.items() if answer.what == "wrong"}
    for seed, words in _REFUSED_WITH_ONE_THREAD.items():
        if usable_cores() == 1 and "avx512f" in machine_flags() and words in wrong.get(seed, ""):
            del wrong[seed]
    assert not wrong
    assert any(answer.what == "built" for answer in answers.values())
