"""Compensated rounding: codes chosen one input at a time, the error made up for by the next ones.

Rounding each weight to the nearest code minimises the error of the weights; what matters is the
error of the layer's output, E |dW x|^2 = tr(dW C dW^T), with C the second moments of the layer's
inputs. The codes are chosen column by column and each column's error is compensated in the columns
that follow: Frantar et al., "GPTQ" (ICLR 2023), after Hassibi's Optimal Brain Surgeon; it does in
closed form what AdaRound (Nagel et al., ICML 2020) searches for by gradient descent. It is also
Babai's nearest plane algorithm (Chen et al., "The Geometry of LLM Quantization", 2025): so written,
one Cholesky factor of C is enough, no inverse, a third of the time for the same codes. C is
centred: a mean error of the output is taken out by the bias (`correct.py`).
"""

from __future__ import annotations

import numpy as np

from edge_scnet.errors import DataError

# Share of the mean diagonal added to C: inputs that never fire, or always together, leave it
# singular.
_DAMPING = 0.01
_BLOCK = 32


class Moments:
    """First and second moments of a layer's inputs, group by group, over the positions added."""

    def __init__(self, inputs_per_group: int, groups: int, *, products: bool) -> None:
        """Starts with nothing.

        Args:
            products: whether second moments are collected.
        """
        self.count = 0
        self.total = np.zeros((groups, inputs_per_group))
        self._products = (
            np.zeros((groups, inputs_per_group, inputs_per_group), np.float32) if products else None
        )
        self._waiting: list[np.ndarray] = []

    def add(self, positions: np.ndarray) -> None:
        """Adds what `rows_read` gives: groups x positions x inputs, float32."""
        self.count += positions.shape[1]
        self.total += positions.sum(axis=1, dtype=np.float64)
        if self._products is not None:
            self._waiting.append(positions)
            # one product of many positions costs a fraction of many products of few
            if sum(some.shape[1] for some in self._waiting) >= min(positions.shape[2], 1024):
                self._multiply()

    def _multiply(self) -> None:
        if self._waiting and self._products is not None:
            positions = np.concatenate(self._waiting, axis=1)
            self._products += np.matmul(positions.transpose(0, 2, 1), positions)
            self._waiting = []

    def mean(self) -> np.ndarray:
        """Returns the mean of each input: groups x inputs."""
        return self.total / self.count

    def covariance(self) -> np.ndarray:
        """Returns the centred second moments: groups x inputs x inputs."""
        self._multiply()
        assert self._products is not None
        mean = self.mean()
        centred: np.ndarray = (
            self._products.astype(np.float64) / self.count - mean[:, :, None] * mean[:, None, :]
        )
        return centred


def round_weights(
    weights: np.ndarray, scales: np.ndarray, covariance: np.ndarray, *, largest: int
) -> np.ndarray:
    """Returns int8 codes whose rounding errors cancel in the layer's output.

    Args:
        weights: outputs x inputs, float.
        scales: one per output.
        covariance: inputs x inputs, of the layer's inputs.
        largest: codes lie in [-largest, largest].

    Raises:
        DataError: the covariance is not finite.
    """
    if not np.isfinite(covariance).all():
        raise DataError(
            "the inputs of a layer are too large to be multiplied, or not finite",
            hint='quantize without their products: rounding = "nearest" in the target',
        )
    inputs = weights.shape[1]
    damped = covariance + np.eye(inputs) * max(
        _DAMPING * float(np.trace(covariance)) / inputs, 1e-12
    )
    # inputs that vary most are rounded first, while the others can still make up for them
    order = np.argsort(-np.diag(damped), kind="stable")
    last_first = order[::-1]
    triangle = _cholesky(damped[np.ix_(last_first, last_first)]).T[::-1, ::-1]
    shares = (triangle / np.diag(triangle)[:, None]).astype(np.float32)
    # in units of codes, inputs x outputs, so that what belongs to one input lies together
    errors = np.ascontiguousarray((weights / scales[:, None]).T[order], dtype=np.float32)
    wanted = errors.copy()
    chosen = np.empty(errors.shape, np.int8)
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        for j in range(start, stop):
            chosen[j] = np.clip(np.rint(wanted[j]), -largest, largest)
            errors[j] -= chosen[j]
            wanted[j + 1 : stop] += np.multiply.outer(shares[j + 1 : stop, j], errors[j])
        wanted[stop:] += shares[stop:, start:stop] @ errors[start:stop]
    codes = np.empty(weights.shape, np.int8)
    codes[:, order] = chosen.T
    return codes


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Returns the factor of a covariance, damped further where rounding left it indefinite.

    The variance of inputs that hardly vary around a large mean is a difference of large numbers.
    """
    damping = float(np.abs(np.diag(matrix)).max()) * 1e-3
    while True:
        try:
            factor: np.ndarray = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            matrix = matrix + np.eye(len(matrix)) * damping
            damping *= 10
        else:
            return factor
