"""Matrices with known singular values, and references in 50 digits."""

import mpmath as mp
import numpy as np

DIGITS = 50


def orthonormal(rng, rows, columns):
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def with_singular_values(rng, n, k, sigma):
    """Return an (n, k) matrix with these singular values, up to roundoff."""
    sigma = np.asarray(sigma, dtype=float)
    return (orthonormal(rng, n, sigma.size) * sigma) @ orthonormal(rng, k, sigma.size).T


def with_cond(rng, n, k, cond):
    return with_singular_values(rng, n, k, np.geomspace(1.0, 1.0 / cond, min(n, k)))


def pseudo_inverse(entries, damping=0.0):
    """Return D^T (D D^T + mu)^{-1}, or (D^T D)^{-1} D^T for K < n, mpmath matrix, for D of full rank."""
    with mp.workdps(DIGITS):
        d = mp.matrix(entries.tolist())
        mu = mp.mpf(damping)
        if d.cols >= d.rows:
            return d.T * (d * d.T + mu * mp.eye(d.rows)) ** -1
        return (d.T * d + mu * mp.eye(d.cols)) ** -1 * d.T


def times(matrix, w):
    with mp.workdps(DIGITS):
        return np.array([float(entry) for entry in matrix * mp.matrix(w.tolist())])


def relative(found, reference):
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def equal_pivots(n):
    """Return the unit lower triangular (n, n) matrix with -1 below: cond grows like 2^n, and every pivot is 1."""
    return np.eye(n) - np.tril(np.ones((n, n)), -1)
