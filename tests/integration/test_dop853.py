"""The DOP853 step: order, dense output, error estimate, agreement with SciPy's."""

import itertools

import numpy as np
import pytest
from scipy.integrate import DOP853

from subriem.integration.dop853 import (
    DenseStep,
    HermiteStep,
    _evaluated,
    attempt,
    first_step,
    quadrature,
    quadrature_error,
)

#: A smooth, nonautonomous problem with a known solution: y = (exp(sin t), sin(t) exp(-t/2)).
START = np.array([1.0, 0.0])


def field(t, y):
    return np.array([y[0] * np.cos(t), np.cos(t) * np.exp(-t / 2) - y[1] / 2])


def exact(t):
    return np.array([np.exp(np.sin(t)), np.sin(t) * np.exp(-t / 2)])


def bent(t, y):
    """A nonlinear problem: a logistic curve and 1/(1.1 + cos t)."""
    return np.array([y[0] * (1 - y[0]), np.sin(t) * y[1] ** 2])


def exactly_bent(t):
    return np.array([1 / (1 + 3 * np.exp(-t)), 1 / (1.1 + np.cos(t))])


def steps(n, span=2.0, field=field, start=START):
    """Integrate with n equal steps; return the end and the dense steps."""
    h, y, made = span / n, start, []
    for i in range(n):
        t = i * h
        trial = attempt(field, t, y, field(t, y), h)
        assert trial.finite
        made.append(DenseStep(field, t, y, h, trial, field(t + h, trial.y), None))
        y = trial.y
    return y, made


def slope(sizes, errors):
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


def test_order_of_the_step_is_eight():
    counts = np.array([5, 6, 8, 10, 12])
    errors = [np.linalg.norm(steps(n)[0] - exact(2.0)) for n in counts]
    assert -slope(counts, errors) == pytest.approx(8, abs=0.3)


def test_local_error_of_the_step_is_of_order_nine():
    sizes = np.geomspace(0.2, 0.4, 5)
    errors = [
        np.linalg.norm(attempt(field, 1.0, exact(1.0), field(1.0, exact(1.0)), h).y - exact(1 + h)) for h in sizes
    ]
    assert slope(sizes, errors) == pytest.approx(9, abs=0.3)


def tangent(step, t):
    """The derivative of a dense step without ramp, by a complex difference of its polynomial."""
    value = _evaluated(step.coefficients.astype(complex), (t - step.t) / step.h + 1e-30j)
    return value.imag / 1e-30 / step.h


@pytest.mark.parametrize(("problem", "solution"), [(field, exact), (bent, exactly_bent)])
def test_dense_output_and_its_tangent_are_of_order_eight(problem, solution):
    """At the same time everywhere, so that the error of the steps does not vary."""
    counts, values, tangents = np.array([5, 6, 8, 10, 12]), [], []
    for n in counts:
        made = steps(n, 2.0, problem, solution(0.0))[1]
        inner = [(step, step.t + x * step.h) for step in made for x in np.linspace(0.03, 0.97, 12)]
        values.append(max(np.linalg.norm(step(t) - solution(t)) for step, t in inner))
        tangents.append(max(np.linalg.norm(tangent(step, t) - problem(t, solution(t))) for step, t in inner))
    assert -slope(counts, values) >= 7.7
    assert -slope(counts, tangents) >= 7.2


def test_refinement_has_an_order_more_than_hairers_interpolant():
    """Locally: one step from exact values, the largest error inside it."""
    sizes, seventh, refined = np.geomspace(0.15, 0.5, 6), [], []
    for h in sizes:
        t, y = 0.3, exact(0.3)
        trial = attempt(field, t, y, field(t, y), h)
        end = field(t + h, trial.y)
        dense = DenseStep(field, t, y, h, trial, end, None)
        raw = dense._seventh(field, trial, end)
        nodes = np.linspace(0.05, 0.95, 19)
        seventh.append(max(np.linalg.norm(y + _evaluated(raw, x) - exact(t + x * h)) for x in nodes))
        refined.append(max(np.linalg.norm(dense(t + x * h) - exact(t + x * h)) for x in nodes))
    assert slope(sizes, seventh) == pytest.approx(8, abs=0.3)
    assert slope(sizes, refined) == pytest.approx(9, abs=0.3)
    assert all(fine < coarse / 5 for fine, coarse in zip(refined, seventh, strict=True))


def test_tangents_of_the_dense_output_at_its_ends_are_the_field():
    step = steps(4)[1][1]
    for t in (step.t, step.t + step.h):
        np.testing.assert_allclose(tangent(step, t), field(t, step(t)), rtol=1e-12)


def test_order_of_the_hermite_interpolant_is_four():
    sizes, errors = np.geomspace(0.01, 0.1, 5), []
    for h in sizes:
        t0, t1 = 0.4, 0.4 + h
        step = HermiteStep(t0, h, exact(t0), field(t0, exact(t0)), exact(t1), field(t1, exact(t1)))
        np.testing.assert_allclose(step(t0), exact(t0), rtol=1e-15)
        np.testing.assert_allclose(step(t1), exact(t1), rtol=1e-15)
        errors.append(np.linalg.norm(step(t0 + 0.4 * h) - exact(t0 + 0.4 * h)))
    assert slope(sizes, errors) == pytest.approx(4, abs=0.1)


def test_hermite_reproduces_cubics():
    step = HermiteStep(1.0, 2.0, np.array([1.0]), np.array([3.0]), np.array([27.0]), np.array([27.0]))
    assert step(2.0)[0] == pytest.approx(8.0, rel=1e-15)


def test_step_and_dense_output_are_scipys():
    h = 0.37
    solver = DOP853(field, 0.0, START, 10.0, first_step=h, max_step=h, rtol=1e-3, atol=1e-3)
    solver.step()
    assert solver.t == h
    trial = attempt(field, 0.0, START, field(0.0, START), h)
    end = field(h, trial.y)
    dense = DenseStep(field, 0.0, START, h, trial, end, None)
    np.testing.assert_allclose(trial.y, solver.y, rtol=1e-15)
    theirs, seventh = solver.dense_output(), dense._seventh(field, trial, end)
    for x in np.linspace(0.0, 1.0, 13):
        np.testing.assert_allclose(START + _evaluated(seventh, x), theirs(x * h), rtol=4e-15, atol=1e-16)


@pytest.mark.parametrize("h", [0.2, 0.5, 1.0])
def test_error_estimate_is_hairers(h):
    """err5^2/sqrt(err5^2 + 0.01 err3^2), as SciPy computes it with unit scale."""
    y = exact(0.3)
    solver = DOP853(field, 0.3, y, 10.0, first_step=h, max_step=h, rtol=1e-1, atol=1e3)
    solver.step()
    theirs = solver._estimate_error_norm(solver.K, h, np.ones(2)) * np.sqrt(2)
    trial = attempt(field, 0.3, y, field(0.3, y), h)
    assert np.linalg.norm(trial.error) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("h", [0.3, 0.5, 0.8, 1.2])
def test_error_estimate_is_of_the_size_of_the_error(h):
    """The estimate is of lower order and has zeros: its mean over starting points is what it promises."""
    ratios = []
    for t in np.linspace(0.0, 3.0, 13):
        trial = attempt(field, t, exact(t), field(t, exact(t)), h)
        ratios.append(np.linalg.norm(trial.error) / np.linalg.norm(trial.y - exact(t + h)))
    assert 0.5 < np.exp(np.mean(np.log(ratios))) < 100
    assert min(ratios) > 0.01


def test_a_field_of_zero_makes_no_error():
    trial = attempt(lambda t, y: np.zeros(2), 0.0, START, np.zeros(2), 1.0)
    np.testing.assert_array_equal(trial.y, START)
    assert not trial.error.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("call", [1, 5, 11])
def test_a_stage_that_is_not_finite_ends_the_attempt(bad, call):
    calls = []

    def broken(t, y):
        calls.append(t)
        return np.array([bad, 0.0]) if len(calls) == call else field(t, y)

    trial = attempt(broken, 0.0, START, field(0.0, START), 0.1)
    assert not trial.finite
    assert len(calls) == call


def test_an_attempt_costs_eleven_calls_and_its_dense_output_eight_at_first_use():
    calls = []

    def counted(t, y):
        calls.append(t)
        return field(t, y)

    trial = attempt(counted, 0.0, START, field(0.0, START), 0.1)
    assert len(calls) == 11
    dense = DenseStep(counted, 0.0, START, 0.1, trial, field(0.1, trial.y), None)
    assert len(calls) == 11
    dense(0.03)
    dense(0.07)
    assert len(calls) == 19


def test_order_of_the_quadrature_is_eight():
    """The integral of |y'|^2 along the exact solution."""
    fine = np.polynomial.legendre.leggauss(60)
    reference = sum(w * np.sum(field(1 + x, exact(1 + x)) ** 2) for x, w in zip(*fine, strict=True))
    errors, counts = [], np.array([8, 10, 12, 16, 20])
    for n in counts:
        h, total, y = 2.0 / n, 0.0, START
        for i in range(n):
            trial = attempt(field, i * h, y, field(i * h, y), h)
            total += quadrature(h, (trial.stages**2).sum(axis=1, keepdims=True))[0]
            y = trial.y
        errors.append(abs(total - reference))
    assert -slope(counts, errors) == pytest.approx(8, abs=0.3)


def test_quadrature_error_is_zero_for_constants_and_falls_with_the_step():
    assert quadrature_error(0.5, np.ones((12, 2))).max() < 1e-15
    assert quadrature_error(0.5, np.zeros((12, 1)))[0] == 0.0
    errors = [quadrature_error(h, np.exp(h * DOP853.C[:12])[:, None])[0] for h in (0.5, 1.0, 2.0)]
    assert all(b > 100 * a for a, b in itertools.pairwise(errors))


def test_quadrature_is_exact_for_polynomials_of_degree_seven():
    h = 0.7
    nodes = h * DOP853.C[:12]
    for degree in range(8):
        assert quadrature(h, nodes[:, None] ** degree)[0] == pytest.approx(h ** (degree + 1) / (degree + 1), rel=1e-13)


# --- dense steps --------------------------------------------------------------------------------------------


def test_dense_step_passes_through_its_ends():
    _, made = steps(4)
    for step in made:
        np.testing.assert_allclose(step(step.t), step._y, rtol=1e-15)
    for left, right in itertools.pairwise(made):
        np.testing.assert_allclose(left(right.t), right(right.t), rtol=1e-14)


def test_ramp_reaches_the_projected_end_and_bends_add_up():
    shift = np.array([1e-3, -2e-3])
    trial = attempt(field, 0.0, START, field(0.0, START), 0.5)
    end = field(0.5, trial.y)
    raw = DenseStep(field, 0.0, START, 0.5, trial, end, None)
    ramped = DenseStep(field, 0.0, START, 0.5, trial, end, shift)
    for t in (0.0, 0.2, 0.5):
        np.testing.assert_allclose(ramped(t) - raw(t), t / 0.5 * shift, atol=1e-15)
    assert raw.ramp is None
    raw.bend(shift)
    np.testing.assert_array_equal(raw.ramp, shift)
    raw.bend(shift)
    np.testing.assert_allclose(raw(0.5), trial.y + 2 * shift, atol=1e-15)
    np.testing.assert_allclose(shift, [1e-3, -2e-3])  # not changed in place


def test_dense_step_is_rebuilt_from_its_coefficients():
    _, made = steps(3)
    step = made[1]
    step.bend(np.array([0.1, 0.2]))
    unused = step.nbytes
    other = DenseStep.from_coefficients(step.t, step.h, step._y, step.coefficients, step.ramp)
    for t in np.linspace(step.t, step.t + step.h, 5):
        np.testing.assert_array_equal(other(t), step(t))
    assert other.nbytes == step.nbytes < unused
    assert other.coefficients.shape == (8, 2)


# --- first step ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("rate", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_first_step_makes_an_error_near_the_tolerance(rtol, rate, size):
    """Rotation with angular velocity `rate` at radius `size`, error relative to the length of the path."""

    def turning(t, y):
        return rate * np.array([-y[1], y[0]])

    y = size * np.array([1.0, 0.0])
    h = first_step(turning, 0.0, y, turning(0.0, y), 1e9, lambda h: rtol * rate * size * h)
    error = np.linalg.norm(attempt(turning, 0.0, y, turning(0.0, y), h).error)
    assert 1e-5 < error / (rtol * rate * size * h) < 1e3


def test_first_step_is_bounded_by_the_span_and_by_rest():
    def still(t, y):
        return np.zeros(2)

    def straight(t, y):
        return np.ones(2)

    for f in (still, straight):
        assert first_step(f, 0.0, START, f(0.0, START), 0.25, lambda h: 1e-6) == 0.25
    tiny = first_step(field, 0.0, START, field(0.0, START), 1e-12, lambda h: 1e-6)
    assert 0 < tiny <= 1e-12


def test_first_step_is_small_where_the_field_ends_nearby():
    def cliff(t, y):
        return np.full(2, np.nan) if t > 0 else np.ones(2)

    h = first_step(cliff, 0.0, START, np.ones(2), 1.0, lambda h: 1e-6)
    assert 0 < h < 1e-4


def test_first_step_costs_one_call():
    calls = []

    def counted(t, y):
        calls.append(t)
        return field(t, y)

    first_step(counted, 0.0, START, field(0.0, START), 1.0, lambda h: 1e-6)
    assert len(calls) == 1
