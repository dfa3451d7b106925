"""Laws of the lift over backends x shapes x condition numbers, against 50 digits; escalation and refusals."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import solve_triangular

from subriem.core.errors import ProblemError, RankError
from subriem.core.jacobian import ArrayJacobian
from subriem.core.lift import factorize, lift, solve
from subriem.core.map import numpy_map
from subriem.core.rank import EPS, RankPolicy, RankWarning
from tests.core.matrices import (
    equal_pivots,
    orthonormal,
    pseudo_inverse,
    relative,
    times,
    with_cond,
    with_singular_values,
)

FINE = RankPolicy(rtol=1e-14)
SHAPES = [(6, 10), (8, 8), (10, 6), (1, 7), (3, 40), (40, 3)]
CONDS = [1e2, 1e4, 1e6, 1e8, 1e10, 1e12]
TABLE = [
    (backend, shape, cond)
    for backend in ("gram-cholesky", "qr", "svd", "auto")
    for shape in SHAPES
    for cond in CONDS
    if backend != "gram-cholesky" or (shape[0] <= shape[1] and cond <= 1e6)
]


def drawn(shape, cond, seed=0):
    rng = np.random.default_rng([seed, *shape, round(np.log10(cond))])
    return with_cond(rng, *shape, cond), rng


# --- against 50 digits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "shape", "cond"), TABLE)
def test_error_is_at_most_two_roundoffs_times_cond(backend, shape, cond):
    entries, rng = drawn(shape, cond)
    w = entries @ rng.standard_normal(shape[1])
    reference = times(pseudo_inverse(entries), w)
    found = lift(entries, w, rank=FINE, backend=backend)
    assert relative(found.v, reference) <= 2 * EPS * cond
    if backend == "auto":  # a w that is not in the range; cond^2 times what D cannot reach is in the problem itself
        w = rng.standard_normal(shape[0])
        reference = times(pseudo_inverse(entries), w)
        unreachable = np.linalg.norm(w - entries @ reference) / np.linalg.norm(reference)
        assert relative(lift(entries, w, rank=FINE).v, reference) <= 2 * EPS * cond * (1 + cond * unreachable)


@pytest.mark.parametrize(("backend", "shape", "cond"), [row for row in TABLE if row[2] in (1e2, 1e6)])
def test_moore_penrose_identities(backend, shape, cond):
    entries, _ = drawn(shape, cond)
    n, k = shape
    columns = [lift(entries, e, rank=FINE, backend=backend) for e in np.eye(n)]
    inverse = np.array([column.v for column in columns]).T
    one, two = entries @ inverse, inverse @ entries
    slack = 20 * EPS * cond
    np.testing.assert_allclose(one @ entries, entries, atol=slack)
    np.testing.assert_allclose(two @ inverse, inverse, atol=slack * np.abs(inverse).max())
    np.testing.assert_allclose(one, one.T, atol=slack * cond if k < n else slack)  # K < n: cond^2 |w - D v|
    # each column is right to eps cond, but only orthogonal reflectors keep the left inverse as good as the right one
    np.testing.assert_allclose(two, two.T, atol=slack * cond if columns[0].backend == "gram-cholesky" else slack)
    assert np.linalg.matrix_rank(one, tol=0.5) == min(n, k)


@pytest.mark.parametrize("metric", [None, "diagonal", "full"])
@pytest.mark.parametrize(("backend", "shape", "cond"), [row for row in TABLE if row[2] in (1e2, 1e6)])
def test_least_norm_and_multiplier(backend, shape, cond, metric):
    entries, rng = drawn(shape, cond)
    n, k = shape
    given_metric, m = None, np.eye(k)
    if metric == "diagonal":
        given_metric = np.exp(rng.standard_normal(k))
        m = np.diag(given_metric)
    elif metric == "full":
        root = rng.standard_normal((k, k))
        given_metric = m = root @ root.T + np.eye(k)
    w = rng.standard_normal(n)
    found = lift(entries, w, rank=FINE, backend=backend, metric=given_metric)
    size = np.linalg.norm(m @ found.v)
    assert np.linalg.norm(m @ found.v - entries.T @ found.multiplier) <= 400 * EPS * cond * size
    kernel = np.linalg.svd(entries)[2][min(n, k) :].T  # v is orthogonal to ker D in the metric
    assert np.linalg.norm(kernel.T @ m @ found.v) <= 200 * EPS * cond * size
    # least squares: what remains of w is orthogonal to the range
    rest = w - entries @ found.v
    assert np.linalg.norm(entries.T @ rest) <= 200 * EPS * cond * np.linalg.norm(w)
    np.testing.assert_allclose(found.image, entries @ found.v, atol=100 * EPS * np.linalg.norm(found.v))


@pytest.mark.parametrize("damping", [1e-8, 1e-3, 10.0])
@pytest.mark.parametrize(
    ("backend", "shape"),
    [(b, s) for b in ("gram-cholesky", "qr", "svd", "auto") for s in SHAPES if b != "gram-cholesky" or s[0] <= s[1]],
)
def test_damping_against_its_formula(backend, shape, damping):
    cond = 1e4
    entries, rng = drawn(shape, cond)
    w = rng.standard_normal(shape[0])
    reference = times(pseudo_inverse(entries, damping), w)
    found = lift(entries, w, backend=backend, damping=damping)
    assert relative(found.v, reference) <= 400 * EPS * (1 + 1 / damping**0.5)
    lam = found.multiplier
    assert relative(entries.T @ lam, found.v) <= 400 * EPS * (1 + 1 / damping)
    assert relative(entries @ (entries.T @ lam) + damping * lam, w) <= 2000 * EPS * (1 + 1 / damping)


# --- what is reported ---------------------------------------------------------------------------------------


def test_residual_is_what_d_cannot_reach():
    entries, w = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), np.array([3.0, 4.0, 12.0])
    assert lift(entries, w).residual == pytest.approx(12 / 13, rel=1e-14)
    assert lift(entries, [1.0, 1.0, 0.0]).residual < 1e-15
    assert lift(entries, [0.0, 0.0, 0.0]).residual == 0.0


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_rank_deficient_is_the_truncated_pseudo_inverse(shape, scale):
    rng = np.random.default_rng(1)
    entries = scale * with_singular_values(rng, *shape, [3.0, 1.0, 0.1, 1e-13, 1e-14])
    w = rng.standard_normal(shape[0])
    found = lift(entries, w)
    u, s, vt = np.linalg.svd(entries)
    reference = vt[:3].T @ ((u[:, :3].T @ w) / s[:3])
    assert relative(found.v, reference) < 1e-13
    assert (found.rank, found.backend, found.decision.full) == (3, "svd", False)
    assert found.cond == pytest.approx(30.0)


@pytest.mark.parametrize("cond", [1e11, 1e13])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_default_policy_reports_what_it_truncates(shape, cond):
    # geometric values: some lie near the floor 1e-10 or the gap there is small
    entries, rng = drawn(shape, cond)
    with pytest.warns(RankWarning, match="ambiguous in lift"):
        found = lift(entries, rng.standard_normal(shape[0]))
    assert found.rank < min(shape) or found.decision.ambiguous
    assert found.backend == "svd"


def test_ambiguous_rank_raises_on_request():
    entries = np.diag([1.0, 2e-10])
    with pytest.raises(RankError, match="ambiguous"):
        lift(entries, [1.0, 1.0], rank=RankPolicy(on_ambiguous="raise"))


def test_zero_matrix():
    found = lift(np.zeros((2, 3)), [1.0, 1.0])
    assert (found.rank, found.residual) == (0, 1.0)
    assert not found.v.any()


# --- escalation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sigma", "backend", "reason"),
    [
        (np.geomspace(1, 1e-5, 8), "gram-cholesky", "first choice"),
        (np.geomspace(1, 1e-7, 8), "qr", "Gram"),
        (np.append(np.ones(7), 1e-16), "svd", "floor"),
    ],
)
@pytest.mark.parametrize("n", [8, 80])  # 80: the extreme singular values are iterated
def test_backend_escalates_and_says_why(sigma, backend, reason, n):
    rng = np.random.default_rng(2)
    sigma = np.concatenate([np.ones(n - 8), sigma])
    found = lift(with_singular_values(rng, n, n + 20, sigma), rng.standard_normal(n))
    assert found.backend == backend
    assert reason in found.reason


def test_a_doubtful_rank_is_decided_on_all_singular_values():
    sigma = np.append(np.geomspace(1, 1e-3, 7), 2e-10)
    with pytest.warns(RankWarning):
        found = lift(with_singular_values(np.random.default_rng(2), 8, 12, sigma), np.ones(8))
    assert found.decision.ambiguous
    np.testing.assert_allclose(found.decision.sigma, sigma, rtol=1e-5)


@pytest.mark.parametrize("start", ["gram-cholesky", "qr", "svd"])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_what_was_large_earlier_makes_small_a_loss_of_rank(shape, start):
    """D = 1e-9 of itself has the same cond; on a path that had sigma_max = 1e3 its rank is 0, wherever one starts."""
    entries = 1e-9 * drawn(shape, 1e2)[0]
    jacobian = ArrayJacobian(entries)
    assert factorize(jacobian, start=start).decision.full
    assert factorize(jacobian, start=start, scale=1e3).decision.rank == 0
    factor = factorize(jacobian, start="qr", scale=1e3, certify=False)  # at a stage the pivots alone tell
    assert (factor.backend, factor.decision.rank) == ("svd", 0)


def test_a_decision_from_a_gram_says_that_it_saw_squares():
    entries, _ = drawn((6, 10), 1e2)
    coarse, fine = (lift(entries, np.ones(6), backend=b).decision.resolution for b in ("gram-cholesky", "qr"))
    assert coarse >= EPS**0.5
    assert fine == EPS


def test_tall_matrices_start_with_qr():
    found = lift(np.random.default_rng(0).standard_normal((5, 3)), np.ones(5))
    assert (found.backend, found.reason, found.rank) == ("qr", "K < n", 3)


def test_a_zero_row_is_no_reason_to_fail():
    entries = np.random.default_rng(0).standard_normal((3, 5))
    entries[1] = 0.0
    found = lift(entries, [1.0, 0.0, 1.0])
    assert (found.rank, found.backend) == (2, "svd")
    assert found.residual < 1e-15


@pytest.mark.parametrize("backend", ["gram-cholesky", "qr"])
def test_forced_backend_refuses_a_singular_factor(backend):
    entries = np.random.default_rng(0).standard_normal((3, 5))
    entries[1] = 0.0
    with pytest.raises(RankError, match="v is not finite"):
        lift(entries, [1.0, 0.0, 1.0], backend=backend)


def test_forced_backend_says_what_speaks_against_it():
    entries, rng = drawn((6, 10), 3e7)
    found = lift(entries, rng.standard_normal(6), backend="gram-cholesky")
    assert "asked for" in found.reason
    assert "cond D" in found.reason


def test_forced_qr_does_not_hide_a_small_singular_value():
    rng = np.random.default_rng(0)
    entries = with_singular_values(rng, 6, 10, [1, 1, 1, 1e-12, 1e-12, 1e-13])
    with pytest.warns(RankWarning):
        found = lift(entries, rng.standard_normal(6), backend="qr")
    assert found.decision.ambiguous


def test_memory_limit():
    entries, rng = drawn((6, 10), 1e4)
    assert lift(entries, rng.standard_normal(6), memory=0).backend == "gram-cholesky"
    hard, _ = drawn((6, 10), 1e8)
    with pytest.raises(RankError, match=r"memory budget[\s\S]*Gram[\s\S]*4\.8e\+02 bytes"):
        lift(hard, np.ones(6), memory=0)
    with pytest.raises(RankError, match="K < n"):
        lift(entries.T, np.ones(10), memory=0)


def test_memory_limit_holds_for_maps_that_must_form_d():
    entries, _ = drawn((3, 4), 1e2)
    with pytest.raises(RankError, match="memory budget"):
        lift(numpy_map(lambda t: entries @ t, lambda t: entries, 4, 3), np.ones(3), np.ones(4), memory=0)
    with pytest.raises(RankError, match="memory budget"):  # the metric is applied to the entries
        lift(GramMap(entries), np.ones(3), np.ones(4), memory=0, metric=np.ones(4))


def test_damping_within_a_small_memory_leaves_the_rank_undecided():
    entries, _ = drawn((6, 10), 1e4)
    found = lift(entries, np.ones(6), damping=0.1, memory=0)
    assert (found.backend, found.rank, found.decision) == ("gram-cholesky", None, None)
    assert "rank not decided" in found.reason
    assert relative(found.v, times(pseudo_inverse(entries, 0.1), np.ones(6))) < 1e-14


def test_damping_does_not_hide_a_lost_rank():
    entries = with_singular_values(np.random.default_rng(2), 4, 6, [1.0, 0.5, 0.0, 0.0])
    found = lift(entries, np.ones(4), damping=0.1)
    assert (found.rank, found.decision.size) == (2, 4)


@pytest.mark.parametrize("power", [-160, -140, -80, 80, 140, 150])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_units_of_d_do_not_matter(shape, power):
    entries, rng = drawn(shape, 1e2)
    w = rng.standard_normal(shape[0])
    found, plain = lift(entries * 10.0**power, w), lift(entries, w)
    assert relative(found.v * 10.0**power, plain.v) < 1e-12
    assert found.rank == plain.rank


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_rotations_of_outputs_and_parameters_are_followed(n, k, seed):
    rng = np.random.default_rng(seed)
    entries, w = rng.standard_normal((n, k)), rng.standard_normal(n)
    q, p = orthonormal(rng, n, n), orthonormal(rng, k, k)
    turned, plain = lift(q @ entries @ p.T, q @ w), lift(entries, w)
    # |v| is at most |w|/sigma_min, and may be far less where w is nearly orthogonal to the range
    size = np.linalg.norm(w) / plain.decision.sigma_rank
    assert np.linalg.norm(turned.v - p @ plain.v) <= 1e-13 * plain.cond * size


# --- maps as sources ----------------------------------------------------------------------------------------


class GramMap:
    """A linear map with a structured Gram that counts its calls."""

    capabilities = frozenset({"gram"})

    def __init__(self, entries, gram=None):
        self.entries, self.gram_entries = entries, entries @ entries.T if gram is None else gram
        self.n_out, self.n_in = entries.shape
        self.calls = {"gram": 0, "jacobian": 0}

    def value(self, theta):
        return self.entries @ theta

    def jvp(self, theta, v):
        return self.entries @ v

    def vjp(self, theta, w):
        return self.entries.T @ w

    def jacobian(self, theta):
        self.calls["jacobian"] += 1
        return self.entries

    def gram(self, theta):
        self.calls["gram"] += 1
        return self.gram_entries.copy()


def test_structured_gram_never_forms_d_while_it_is_trusted():
    entries, rng = drawn((6, 10), 1e4)
    source, w = GramMap(entries), rng.standard_normal(6)
    found = lift(source, w, np.zeros(10))
    assert source.calls == {"gram": 1, "jacobian": 0}
    assert relative(found.v, times(pseudo_inverse(entries), w)) < 2 * EPS * 1e4
    hard = GramMap(drawn((6, 10), 1e8)[0])
    assert lift(hard, w, np.zeros(10)).backend == "qr"
    assert hard.calls == {"gram": 1, "jacobian": 1}


def test_a_wrong_gram_is_found_by_its_residual():
    entries, rng = drawn((6, 10), 1e1)
    w = rng.standard_normal(6)
    found = lift(GramMap(entries, gram=7 * np.eye(6)), w, np.zeros(10))
    assert found.backend == "qr"
    assert "residual" in found.reason
    assert relative(found.v, times(pseudo_inverse(entries), w)) < 1e-13


def test_pivots_that_hide_a_condition_are_found_by_the_residual():
    """D = L Q^T with all pivots 1 and cond 3e8, where refinement by the Gram stalls; L^{-1} w is a substitution."""
    size, rng = 26, np.random.default_rng(0)
    triangle, frame = equal_pivots(size), orthonormal(rng, size + 5, size)
    w = rng.standard_normal(size)
    exact = frame @ solve_triangular(triangle, w, lower=True)
    factor, (v, _, image) = solve(ArrayJacobian(triangle @ frame.T), w, certify=False)
    assert factor.backend == "qr"
    assert np.linalg.norm(image - w) <= 1e-9 * np.linalg.norm(w)
    assert relative(v, exact) <= 2 * EPS * np.linalg.cond(triangle)


def test_an_indefinite_gram_is_refused():
    source = GramMap(np.eye(3), gram=np.diag([1.0, -1.0, 1.0]))
    assert lift(source, np.ones(3), np.zeros(3)).backend == "qr"
    with pytest.raises(RankError, match="Cholesky of the Gram failed"):
        lift(source, np.ones(3), np.zeros(3), backend="gram-cholesky")


def test_map_and_array_agree():
    entries, rng = drawn((6, 10), 1e3)
    source = numpy_map(lambda t: entries @ t, lambda t: entries, 10, 6)
    w = rng.standard_normal(6)
    np.testing.assert_array_equal(lift(source, w, np.ones(10)).v, lift(entries, w).v)


def test_map_with_a_jacobian_of_nan():
    source = numpy_map(lambda t: t, lambda t: np.full((2, 2), np.nan), 2, 2)
    with pytest.raises(RankError, match="NaN or overflow in the Jacobian"):
        lift(source, [1.0, 2.0], [0.0, 0.0])


# --- refusals -----------------------------------------------------------------------------------------------

I2 = np.eye(2)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((I2, [1.0]), {}, "w has the wrong length"),
        ((I2, [1.0, np.nan]), {}, "w has entries that are not finite"),
        ((I2 * np.nan, [1.0, 1.0]), {}, "D has entries that are not finite"),
        (([1.0, 2.0], [1.0]), {}, "D has the wrong number of axes"),
        ((I2, [1.0, 1.0], [1.0, 1.0]), {}, "theta given"),
        ((numpy_map(lambda t: t, lambda t: I2, 2, 2), [1.0, 1.0]), {}, "theta is missing"),
        ((numpy_map(lambda t: t, lambda t: I2, 2, 2), [1.0, 1.0], [1.0]), {}, "theta has the wrong length"),
        ((I2, [1.0, 1.0]), {"damping": -1.0}, "damping"),
        ((I2, [1.0, 1.0]), {"damping": np.nan}, "damping"),
        ((I2, [1.0, 1.0]), {"damping": "big"}, "damping"),
        ((I2, [1.0, 1.0]), {"backend": "lu"}, "unknown backend"),
        ((np.ones((3, 2)), [1.0, 1.0, 1.0]), {"backend": "gram-cholesky"}, "singular for K < n"),
        ((I2, [1.0, 1.0]), {"metric": [1.0, -1.0]}, "inner product[\\s\\S]*-1"),
        ((I2, [1.0, 1.0]), {"metric": [1.0, 2.0, 3.0]}, "metric does not fit"),
        ((I2, [1.0, 1.0]), {"metric": [[1.0, 2.0], [2.0, 1.0]]}, "inner product"),
        ((I2, [1.0, 1.0]), {"metric": 1e-9 * np.array([[2, 0.5], [0.1, 1]])}, "inner product[\\s\\S]*symmetric"),
    ],
)
def test_refuses_bad_arguments(arguments, options, words):
    with pytest.raises(ProblemError, match=words):
        lift(*arguments, **options)


def test_inputs_are_left_alone():
    entries, rng = drawn((6, 10), 1e8)
    w = rng.standard_normal(6)
    before = entries.copy(), w.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankWarning)
        for backend in ("gram-cholesky", "qr", "svd", "auto"):
            lift(entries, w, backend=backend, damping=0.1)
            lift(entries.copy(order="F"), w, backend=backend)
    np.testing.assert_array_equal(before[0], entries)
    np.testing.assert_array_equal(before[1], w)


def test_dependent_rows_are_named_where_the_rank_is_lost() -> None:
    rng = np.random.default_rng(4)
    entries = rng.standard_normal((5, 8))
    entries[3] = 2 * entries[1] - entries[0]
    assert lift(entries, np.ones(5)).dependent == (("row 0", "row 1", "row 3"),)
    assert lift(entries[[0, 1, 2, 4]], np.ones(4)).dependent == ()
    names = ["a", "b", "c", "d", "e"]
    source = numpy_map(lambda t: entries @ t, lambda t: entries, 8, 5, output_names=names)
    assert lift(source, np.ones(5), np.zeros(8)).dependent == (("a", "b", "d"),)
