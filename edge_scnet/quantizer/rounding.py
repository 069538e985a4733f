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
_WAITING_ROWS = 128


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
        self._waiting_rows = 0

    def add(self, positions: np.ndarray) -> None:
        """Adds what `rows_read` gives: groups x positions x inputs, float32."""
        self.count += positions.shape[1]
        self.total += positions.sum(axis=1, dtype=np.float64)
        if self._products is not None:
            self._waiting.append(positions)
            self._waiting_rows += positions.shape[1]
            # one product of many positions costs a fraction of many products of few; what waits
            # takes memory
            if self._waiting_rows >= min(positions.shape[2], _WAITING_ROWS):
                self._multiply()

    def _multiply(self) -> None:
        if self._waiting and self._products is not None:
            positions = np.concatenate(self._waiting, axis=1)
            self._waiting, self._waiting_rows = [], 0
            self._products += np.matmul(positions.transpose(0, 2, 1), positions)

    def mean(self) -> np.ndarray:
        """Returns the mean of each input: groups x inputs."""
        return self.total / self.count

    def covariance(self) -> np.ndarray:
        """Returns the centred second moments: groups x inputs x inputs."""
        self._multiply()
        assert self._products is not None
        mean = self.mean()
        centred: np.ndarray = self._products.astype(np.float64)
        centred /= self.count
        centred -= mean[:, :, None] * mean[:, None, :]
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
    return Compensation(covariance).round(weights, scales, largest=largest)


class Compensation:
    """How the inputs of layers that read the same make up for each other's errors."""

    def __init__(self, covariance: np.ndarray) -> None:
        """Factors the covariance, inputs x inputs.

        Raises:
            DataError: it is not finite.
        """
        if not np.isfinite(covariance).all():
            raise DataError(
                "the inputs of a layer are too large to be multiplied, or not finite",
                hint='quantize without their products: rounding = "nearest" in the target',
            )
        variances = np.diag(covariance)
        damping = max(_DAMPING * float(variances.sum()) / len(covariance), 1e-12)
        # inputs that vary most are rounded first, while the others can still make up for them
        self._order = np.argsort(-(variances + damping), kind="stable")
        last_first = self._order[::-1]
        damped = covariance[np.ix_(last_first, last_first)]
        damped[np.diag_indices_from(damped)] += damping
        triangle = _cholesky(damped).T[::-1, ::-1]
        self._shares = np.empty(triangle.shape, np.float32)
        np.divide(triangle, np.diag(triangle)[:, None], out=self._shares, casting="same_kind")

    def round(self, weights: np.ndarray, scales: np.ndarray, *, largest: int) -> np.ndarray:
        """Returns codes, as `round_weights`."""
        shares, inputs = self._shares, weights.shape[1]
        # in units of codes, inputs x outputs, so that what belongs to one input lies together
        errors = np.ascontiguousarray((weights / scales[:, None]).T[self._order], dtype=np.float32)
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
        codes[:, self._order] = chosen.T
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
