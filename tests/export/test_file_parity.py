"""What of a difference between a prepared graph and the user's file is rounding."""

import numpy as np

from edge_scnet.export.differences import Difference
from edge_scnet.export.file_parity import _beyond_noise, _Doubt


def doubt(found: Difference, noise: float) -> _Doubt:
    return _Doubt(data=np.zeros(1), compared=[found], noise=[Difference(share=noise)])


def test_rounding_of_an_empty_map_may_show_on_another_image_alone() -> None:
    """ppocrv3_det on photographs without text: all of a map is below 1e-6."""
    on_one, on_another = Difference(share=0.6, largest=9e-8), Difference(share=0.5, largest=3e-8)
    doubts = [doubt(on_one, 0.6), doubt(on_another, 0.0)]
    assert not list(_beyond_noise(doubts, ["map"]))


def test_what_is_larger_than_the_rounding_of_one_is_held_to_its_own_image() -> None:
    on_one, on_another = Difference(share=0.005, largest=0.1), Difference(share=0.005, largest=0.1)
    doubts = [doubt(on_one, 0.005), doubt(on_another, 0.0)]
    assert [name for _, name, _ in _beyond_noise(doubts, ["boxes"])] == ["boxes"]


def test_a_map_that_no_image_shows_noise_of_differs() -> None:
    found = Difference(share=0.5, largest=3e-8)
    assert list(_beyond_noise([doubt(found, 0.0)], ["map"]))
