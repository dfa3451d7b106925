"""Which of dependent rows go, whatever their units."""

import numpy as np
import pytest

import subriem as sr
from subriem.core.equilibrated import BALANCED, coefficients, equilibrate, exchanged, independent_rows, rank_factor


@pytest.mark.parametrize("seed", range(5))
def test_the_last_of_dependent_rows_goes(seed):
    rng = np.random.default_rng(seed)
    a, b, c = rng.standard_normal((3, 6))
    matrix = np.array([a, b, a + b, c, 2 * a - c, a])
    scaled = 10 ** rng.uniform(-6, 6, (6, 1)) * matrix * 10 ** rng.uniform(-6, 6, 6)
    factor = rank_factor(scaled, sr.RankPolicy())
    assert factor.rank == 3
    assert independent_rows(factor) == [0, 1, 3]


def test_the_kernel_is_in_the_units_of_the_unknowns():
    matrix = np.array([[1e-6, 1e6, 0.0], [0.0, 1e6, 1.0]])
    kernel = rank_factor(matrix, sr.RankPolicy()).kernel()
    np.testing.assert_allclose(matrix @ kernel, 0, atol=1e-9)
    assert kernel.shape == (3, 1)


@pytest.mark.parametrize("seed", range(5))
def test_an_exchange_makes_a_base_as_good_as_the_whole(seed):
    """The least singular value of the base is within sqrt(1 + f^2 r (m - r)) of that of all rows."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((9, 3)) @ rng.standard_normal((3, 6))
    matrix[0] = 1e-7 * matrix[1]
    base = exchanged(matrix, [0, 1, 2])
    assert np.abs(coefficients(matrix[None], base)).max() <= BALANCED
    assert base != [0, 1, 2]
    np.testing.assert_allclose(coefficients(matrix[None], base)[0] @ matrix[base], matrix, atol=1e-12)
    whole, chosen = (np.linalg.svd(rows, compute_uv=False)[2] for rows in (matrix, matrix[base]))
    assert chosen >= whole / np.sqrt(1 + BALANCED**2 * 3 * 6)


def test_a_base_of_zero_rows_is_exchanged():
    matrix = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 2.0], [1.0, -1.0]])
    assert exchanged(matrix, [0, 1]) == [2, 3]


def test_dependent_rows_are_chosen_alike_in_any_units():
    """One relation, in which all rows share alike after equilibration: the last one goes."""
    matrix = np.vstack([np.eye(3), -np.ones((1, 3))]) + 0.0
    for seed in range(8):
        units = 10 ** np.random.default_rng(seed).uniform(-6, 6, (4, 1))
        assert independent_rows(rank_factor(units * matrix, sr.RankPolicy())) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_the_diagonals_of_a_matrix_nearby_lead_to_the_same_scaling_in_fewer_rounds(seed):
    rng = np.random.default_rng(seed)
    units = 10 ** rng.uniform(-6, 6, (6, 1)), 10 ** rng.uniform(-6, 6, 7)
    here, there = (units[0] * part * units[1] for part in rng.uniform(0.5, 2.0, (2, 6, 7)))
    near = equilibrate(here)[1:]
    cold, warm = equilibrate(there)[0], equilibrate(there, near=near)[0]
    np.testing.assert_allclose(warm, cold, rtol=0.05)
    lengths = [np.abs(np.linalg.norm(equilibrate(there, 4, start)[0], axis=1) - 1).max() for start in (near, None)]
    assert lengths[0] < 0.1 < lengths[1]
