"""Groups of dependent rows, their null vectors and the compression that removes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subriem.core.dependence import dependent_rows
from subriem.core.errors import ProblemError
from subriem.core.jacobian import ArrayJacobian, MapJacobian
from subriem.core.lift import factorize, lift
from subriem.core.rank import GRAM_RESOLUTION, RankPolicy
from subriem.flows.network import network
from tests.core.matrices import relative, with_cond

EXPECTED = {(0, 1, 3, 11), (2, 7), (4, 5, 9), (20, 21)}


def planted(seed, cond=1e5, n=30, k=50):
    """Rows 7 = 2, 9 = 3 r4 - r5, 11 = r0 + r1 + r3, 20 = 1e6 r21."""
    entries = with_cond(np.random.default_rng(seed), n, k, cond)
    entries[7] = entries[2]
    entries[9] = 3 * entries[4] - entries[5]
    entries[11] = entries[0] + entries[1] + entries[3]
    entries[20] = 1e6 * entries[21]
    return entries


def found_in(entries, **options):
    return dependent_rows(ArrayJacobian(entries), **options)


def check(entries, dependence, nullity):
    n = entries.shape[0]
    null, basis = dependence.null, dependence.basis.toarray()
    assert dependence.nullity == null.shape[1] == nullity
    np.testing.assert_allclose(null.T @ null, np.eye(nullity), atol=1e-13)
    np.testing.assert_allclose(basis.T @ basis, np.eye(n - nullity), atol=1e-13)
    np.testing.assert_allclose(basis.T @ null, 0.0, atol=1e-13)
    sizes = np.linalg.norm(entries, axis=1)
    for column in null.T:
        # D^T u = 0 up to the roundoff of its own terms: also where the rows differ by 1e16
        terms = float(sizes @ np.abs(column))
        assert np.linalg.norm(entries.T @ column) <= 1e-9 * terms
        support = {int(i) for i in np.flatnonzero(column)}
        assert any(support <= set(group) for group in dependence.groups)


@pytest.mark.parametrize("seed", range(6))
def test_planted_groups_are_found_exactly(seed):
    entries = planted(seed)
    found = found_in(entries)
    assert set(found.groups) == EXPECTED
    check(entries, found, 4)
    assert found.decision.rank == 26
    assert found.defect(ArrayJacobian(entries)) < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_groups_do_not_depend_on_the_scale_of_rows(seed):
    entries = planted(seed, cond=1e3)
    factors = 10.0 ** np.random.default_rng(seed).choice([-8, 0, 8], size=30)
    scaled = factors[:, None] * entries
    found = found_in(scaled)
    assert set(found.groups) == EXPECTED
    check(scaled, found, 4)


def test_rows_of_very_different_size_in_one_group():
    entries = np.random.default_rng(0).standard_normal((10, 20))
    entries[3:6] = np.array([1.0, 1e8, 1e-8])[:, None] * entries[2]
    found = found_in(entries)
    assert found.groups == ((2, 3, 4, 5),)
    check(entries, found, 3)
    sizes = np.linalg.norm(entries, axis=1)
    for column in found.null.T:
        assert np.linalg.norm(entries.T @ column) <= 1e-14 * float(sizes @ np.abs(column))


def test_zero_rows_are_groups_of_their_own():
    entries = with_cond(np.random.default_rng(1), 6, 9, 10.0)
    entries[[1, 4]] = 0.0
    found = found_in(entries)
    assert found.groups == ((1,), (4,))
    check(entries, found, 2)


def test_all_rows_zero():
    found = found_in(np.zeros((2, 3)))
    assert found.groups == ((0,), (1,))
    assert found.basis.shape == (2, 0)
    assert found.defect(ArrayJacobian(np.zeros((2, 3)))) == 0.0


def test_triple_duplicates_have_two_relations():
    entries = with_cond(np.random.default_rng(2), 7, 9, 10.0)
    entries[3] = entries[5] = -entries[0]
    found = found_in(entries)
    assert found.groups == ((0, 3, 5),)
    check(entries, found, 2)


def test_independent_rows_have_no_group():
    entries = with_cond(np.random.default_rng(3), 7, 9, 1e6)
    found = found_in(entries)
    assert (found.groups, found.nullity) == ((), 0)
    assert found.defect(ArrayJacobian(entries)) == 0.0
    jacobian = ArrayJacobian(entries)
    assert found.compress(jacobian) is jacobian


@pytest.mark.parametrize("seed", range(3))
def test_compression_leaves_the_lift_unchanged(seed):
    entries = planted(seed, cond=1e2)
    entries[20] = entries[21]
    found = found_in(entries)
    w = np.random.default_rng(seed).standard_normal(30)
    compressed = found.compress(ArrayJacobian(entries))
    assert compressed.shape == (26, 50)
    short = lift(compressed.dense(), found.basis.T @ w)
    assert short.backend == "gram-cholesky"
    full = lift(entries, w)
    assert (full.backend, full.rank) == ("svd", 26)
    assert relative(short.v, full.v) < 1e-11
    np.testing.assert_allclose(found.basis @ short.image, full.image, atol=1e-12)


def test_compression_of_a_structured_gram_forms_no_jacobian():
    net = network([2, 6, 1], [[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]])
    jacobian = MapJacobian(net, net.initial(seed=0))
    found = dependent_rows(jacobian)
    factor = factorize(found.compress(jacobian), memory=0)
    assert (found.groups, factor.backend, factor.decision.rank) == (((0, 2),), "gram-cholesky", 2)


@given(st.permutations(range(10)), st.integers(0, 1000))
def test_groups_move_with_their_rows(order, seed):
    entries = with_cond(np.random.default_rng(seed), 10, 14, 1e2)
    entries[7], entries[9] = entries[2], entries[0] - 2 * entries[5]
    moved = found_in(entries[list(order)])
    assert {frozenset(order[i] for i in group) for group in moved.groups} == {frozenset((2, 7)), frozenset((0, 5, 9))}
    assert [group[0] for group in moved.groups] == sorted(group[0] for group in moved.groups)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("policy", [RankPolicy(), RankPolicy(atol=1e-12)])
def test_gram_route_finds_the_same_groups(seed, policy):
    entries = planted(seed, cond=1e3)
    found = found_in(entries, rank=policy, memory=0)
    assert set(found.groups) == EXPECTED
    check(entries, found, 4)
    assert found.decision.resolution == GRAM_RESOLUTION
    assert found.decision.floor >= GRAM_RESOLUTION


def test_defect_sees_a_relation_that_does_not_persist():
    entries = planted(0)
    found = found_in(entries)
    moved = entries.copy()
    moved[7, 3] += 1e-3
    assert found.defect(ArrayJacobian(moved)) > 1e-6


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_defect_sees_a_broken_relation_whatever_the_size_of_its_rows(size):
    entries = planted(0, cond=1e2)
    entries[[2, 7]] *= size
    found = found_in(entries)
    assert found.defect(ArrayJacobian(entries)) < 1e-12
    broken = entries.copy()
    broken[7] *= 1 + 1e-3 * np.random.default_rng(0).standard_normal(50)
    assert 1e-5 < found.defect(ArrayJacobian(broken)) < 1e-2
    assert found.defect(ArrayJacobian(1e-6 * broken)) == pytest.approx(found.defect(ArrayJacobian(broken)), rel=1e-6)


def test_an_array_is_taken_as_it_is():
    entries = planted(0, cond=1e2)
    assert dependent_rows(entries).groups == found_in(entries).groups
    with pytest.raises(ProblemError, match="D has the wrong number of axes"):
        dependent_rows(entries[0])


def test_refuses_nan():
    with pytest.raises(ProblemError, match="D_1"):
        found_in(np.array([[1.0, 2.0], [np.nan, 1.0]]))
