"""The threads of NumPy's linear algebra."""

from __future__ import annotations

from edge_scnet.machine import blas


def test_one_thread_inside_and_as_many_as_before_behind() -> None:
    found = blas._openblas()
    assert found is not None, "NumPy's wheels bring OpenBLAS"
    number, set_number = found
    before = number()
    set_number(2)
    try:
        with blas.one_blas_thread():
            with blas.one_blas_thread():
                assert number() == 1
            assert number() == 1
        assert number() == 2
    finally:
        set_number(before)
