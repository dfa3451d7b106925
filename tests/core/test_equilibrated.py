"""Which of dependent rows go, whatever their units."""

import numpy as np
import pytest

import subriem as sr
from subriem.core.equilibrated import independent_rows, rank_factor


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
