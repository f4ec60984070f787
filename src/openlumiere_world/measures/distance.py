"""Fréchet distance of two sets of features, each taken for a normal distribution (Heusel et al.
2017, equation 6).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def frechet(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m e"]) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): 0 for sets of one mean and covariance. It
    shrinks as sets grow: compare sets of one size.

    Raises ValueError for fewer than two rows or rows of other lengths.
    """
    if min(len(one), len(other)) < 2 or one.shape[1] != other.shape[1]:
        raise ValueError(
            f"features: expected two rows or more of one length, got {one.shape} and"
            f" {other.shape}, read more clips"
        )
    apart = one.mean(0) - other.mean(0)
    first, second = (np.cov(rows, rowvar=False).reshape(rows.shape[1], -1) for rows in (one, other))
    root = square_root(first)
    shared = np.sqrt(
        np.linalg.eigvalsh(root @ second @ root).clip(0)
    ).sum()  # the trace of (C1 C2)^(1/2)
    return float(max(0.0, apart @ apart + np.trace(first) + np.trace(second) - 2 * shared))


def square_root(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
