"""RankPolicy: the definition, its invariances, and what a caller does with an ambiguous decision."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from subriem.core.errors import ProblemError, RankError
from subriem.core.rank import EPS, RankPolicy, RankWarning

POLICY = RankPolicy()


def test_clear_decision_and_its_record():
    d = POLICY.decide([0.2, 3.0, 1e-15])
    assert (d.rank, d.size, d.full, d.ambiguous) == (2, 3, False, False)
    assert (d.sigma_max, d.sigma_rank, d.sigma_next) == (3.0, 0.2, 1e-15)
    assert d.floor == 3.0 * 1e-10
    assert d.gap == 0.2 / 1e-15  # 1e-15 > eps sigma_max = 6.7e-16
    assert d.cond == 15.0
    np.testing.assert_array_equal(d.sigma, [3.0, 0.2, 1e-15])


def test_gap_counts_no_value_below_the_roundoff_of_the_largest():
    assert POLICY.decide([4.0, 1.0, 1e-30]).gap == 1.0 / (EPS * 4.0)
    assert POLICY.decide([4.0, 1.0]).gap == 1.0 / (EPS * 4.0)  # full rank: sigma_{r+1} := 0


def test_a_value_at_the_floor_is_dropped():
    assert RankPolicy(atol=0.5).decide([1.0, 0.5]).rank == 1
    assert RankPolicy(atol=0.5).decide([1.0, np.nextafter(0.5, 1)]).rank == 2


@pytest.mark.parametrize(
    ("sigma", "ambiguous"),
    [
        ([1.0, 1e-7, 2e-11], False),  # kept and dropped are 5000 apart
        ([1.0, 1e-8, 2e-11], True),  # 500 apart
        ([1.0, 2.9e-10], True),  # within a factor 3 above the floor
        ([1.0, 3.1e-10], False),
        ([1.0, 3.4e-11], True),  # within a factor 3 below it
        ([1.0, 3.2e-11], False),
    ],
)
def test_ambiguity_by_gap_and_by_nearness_to_the_floor(sigma, ambiguous):
    assert POLICY.decide(sigma).ambiguous is ambiguous


def test_full_rank_with_sigma_near_roundoff_is_ambiguous():
    policy = RankPolicy(rtol=1e-14)
    assert policy.decide([1.0, 1e-13]).ambiguous  # gap 450
    assert not policy.decide([1.0, 1e-12]).ambiguous  # gap 4500


def test_scale_makes_a_vanishing_scalar_a_loss_of_rank():
    assert POLICY.decide([1e-9]).rank == 1
    assert POLICY.decide([1e-9], scale=1e3).rank == 0
    assert POLICY.decide([1.0], scale=1e-3).floor == 1e-10  # a smaller scale does not lower the floor


def test_atol_replaces_the_relative_floor():
    d = RankPolicy(rtol=1e-1, atol=1e-12).decide([1.0, 1e-6], scale=1e9)
    assert (d.floor, d.rank) == (1e-12, 2)


def test_zero_matrix_and_no_values():
    d = POLICY.decide([0.0, 0.0])
    assert (d.rank, d.full, d.ambiguous, d.cond) == (0, False, False, np.inf)
    assert (POLICY.decide([]).rank, POLICY.decide([]).ambiguous) == (0, False)


def test_extreme_values_stand_for_all_between():
    d = POLICY.decide([2.0, 0.5], size=7)
    assert (d.rank, d.full, d.ambiguous) == (7, True, False)


def test_extreme_values_below_the_floor_leave_nothing():
    assert POLICY.decide([1e-9, 1e-12], scale=1e3, size=5).rank == 0


def test_extreme_values_on_both_sides_of_the_floor_do_not_decide():
    d = POLICY.decide([1.0, 1e-14], size=5)
    assert d.ambiguous
    assert d.rank == 4  # an upper bound
    assert not POLICY.decide([1.0, 1e-14], size=2).ambiguous


@pytest.mark.parametrize("sigma", [[1.0, np.nan], [np.inf], [1.0, -1e-20]])
def test_refuses_what_no_singular_value_can_be(sigma):
    with pytest.raises(ProblemError, match="cannot be decided"):
        POLICY.decide(sigma)


def test_refuses_more_values_than_the_matrix_has():
    with pytest.raises(ProblemError, match="more singular values"):
        POLICY.decide([1.0, 1.0, 1.0], size=2)


@pytest.mark.parametrize(
    "bad",
    [
        {"rtol": 0.0},
        {"rtol": -1e-3},
        {"rtol": np.nan},
        {"rtol": 1.0},
        {"rtol": "1e-3"},
        {"rtol": None},
        {"rtol": True},
        {"atol": 0.0},
        {"atol": np.inf},
        {"min_gap": -1},
        {"min_gap": np.inf},
        {"on_ambiguous": "error"},
    ],
)
def test_refuses_bad_arguments(bad):
    with pytest.raises(ProblemError, match="RankPolicy"):
        RankPolicy(**bad)


def test_takes_numpy_scalars():
    assert RankPolicy(rtol=np.float32(1e-6), min_gap=np.int64(10)).decide([1.0, 1e-9]).rank == 1


# --- laws ---------------------------------------------------------------------------------------------------

VALUES = st.lists(
    st.one_of(st.just(0.0), st.floats(-17, 3).map(lambda exponent: 10.0**exponent)), min_size=1, max_size=8
)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    a, b = POLICY.decide(values), POLICY.decide(shuffled)
    assert (a.rank, a.gap, a.ambiguous, a.floor) == (b.rank, b.gap, b.ambiguous, b.floor)


@given(VALUES, st.integers(-40, 40))
def test_a_relative_floor_knows_no_units(values, power):
    scaled = POLICY.decide([v * 2.0**power for v in values])
    plain = POLICY.decide(values)
    assert (scaled.rank, scaled.ambiguous, scaled.gap) == (plain.rank, plain.ambiguous, plain.gap)


@given(VALUES, st.floats(-15, -1), st.floats(-15, -1))
def test_rank_falls_as_rtol_rises(values, one, other):
    low, high = sorted((10.0**one, 10.0**other))
    assert RankPolicy(rtol=low).decide(values).rank >= RankPolicy(rtol=high).decide(values).rank


@given(VALUES)
def test_rank_counts_the_values_above_the_floor(values):
    d = POLICY.decide(values)
    assert d.rank == sum(v > d.floor for v in values)
    assert d.full == (d.rank == len(values))


@given(VALUES)
def test_extremes_alone_never_claim_clearly_what_all_values_contradict(values):
    assume(len(values) > 2)
    every, two = POLICY.decide(values), POLICY.decide([max(values), min(values)], size=len(values))
    assert two.ambiguous or two.rank == every.rank


# --- report -------------------------------------------------------------------------------------------------

UNCLEAR = [1.0, 2e-10]


def test_report_warns_by_default_and_names_the_place():
    with pytest.warns(RankWarning, match=r"ambiguous in the test[\s\S]*2\.0e-10"):
        POLICY.report(POLICY.decide(UNCLEAR), "in the test")


def test_report_raises_on_request_with_four_lines():
    policy = RankPolicy(on_ambiguous="raise")
    with pytest.raises(RankError) as caught:
        policy.report(policy.decide(UNCLEAR), "in the test")
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["What", "Got", "Expected", "Try"]
    assert str(caught.value).count("in the test") == 1


@pytest.mark.parametrize(("sigma", "policy"), [(UNCLEAR, RankPolicy(on_ambiguous="ignore")), ([1.0], POLICY)])
def test_report_is_silent_if_told_so_or_if_all_is_clear(sigma, policy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.report(policy.decide(sigma), "in the test")


def test_a_decision_reads_as_a_sentence():
    assert str(POLICY.decide([3.0, 0.2, 1e-15])) == (
        "rank 2 of 3 (singular values 3.00e+00 … 2.00e-01 | 1.0e-15, gap 2.0e+14)"
    )
