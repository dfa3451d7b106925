"""DAEs given by NumPy functions: checked at the door, and no analysis."""

import numpy as np
import pytest

import subriem as sr
from subriem.core.errors import ProblemError, ReductionError


def pendulum(t, y, dy):
    x, z, u, w, lam = y
    return np.array([dy[0] - u, dy[1] - w, dy[2] + lam * x, dy[3] + lam * z + 9.81, x**2 + z**2 - 1])


def pendulum_jacobian(t, y, dy):
    x, z, _, _, lam = y
    dF = np.zeros((5, 5))
    dF[0, 2] = dF[1, 3] = -1
    dF[2, [0, 4]], dF[3, [1, 4]], dF[4, :2] = (lam, x), (lam, z), (2 * x, 2 * z)
    return dF, np.diag([1.0, 1, 1, 1, 0])


Y, DY = np.array([0.6, -0.8, 0.1, 0.2, 3.0]), np.arange(5.0)


def test_fields():
    system = sr.DAE.from_callable(pendulum, 5, variables="x z u w lam", name="swing")
    assert system.variables == ("x", "z", "u", "w", "lam")
    assert system.equations[-1] == "F[4]"
    assert repr(system) == "<NumericDAE swing: 5 equations, 5 variables>"
    np.testing.assert_array_equal(system.residual(0.0, Y, DY), pendulum(0.0, Y, DY))
    assert sr.DAE.from_callable(pendulum, 5).variables == ("y[0]", "y[1]", "y[2]", "y[3]", "y[4]")


def test_difference_quotients_are_the_jacobian():
    system = sr.DAE.from_callable(pendulum, 5)
    for found, exact in zip(system.jacobian(0.0, Y, DY), pendulum_jacobian(0.0, Y, DY), strict=True):
        np.testing.assert_allclose(found, exact, atol=1e-9)


def test_the_given_jacobian_is_used_and_checked():
    system = sr.DAE.from_callable(pendulum, 5, pendulum_jacobian)
    system.check(0.0, Y, DY)
    np.testing.assert_array_equal(system.jacobian(0.0, Y, DY)[0], pendulum_jacobian(0.0, Y, DY)[0])


@pytest.mark.parametrize(("which", "entry"), [(0, r"dF/dy\[2, 4\]"), (1, r"dF/dy'\[2, 4\]")])
@pytest.mark.parametrize("wrong", [1e-3, np.nan])
def test_a_wrong_jacobian_is_named(which, entry, wrong):
    def jac(t, y, dy):
        pair = pendulum_jacobian(t, y, dy)
        pair[which][2, 4] += wrong
        return pair

    with pytest.raises(ProblemError, match=entry):
        sr.DAE.from_callable(pendulum, 5, jac).check(0.0, Y, DY)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((3, 5), {}, "F is no function"),
        ((pendulum, 5, 3), {}, "jac is no function"),
        ((pendulum, 0), {}, "n is not a positive integer"),
        ((pendulum, 5.0), {}, "n is not a positive integer"),
        ((pendulum, 5), {"variables": "x z"}, "variables do not fit"),
        ((pendulum, 5), {"variables": "x z u w lambda"}, "cannot be the name"),
    ],
)
def test_refusals_at_the_door(arguments, options, message):
    with pytest.raises(ProblemError, match=message):
        sr.DAE.from_callable(*arguments, **options)


@pytest.mark.parametrize(
    ("F", "jac", "message"),
    [
        (lambda t, y, dy: dy[:1], None, "F of dae does not fit"),
        (lambda t, y, dy: dy + 1j, None, "F of dae does not fit"),
        (lambda t, y, dy: [dy, [1.0]], None, "F of dae is not an array"),
        (lambda t, y, dy: dy * np.nan, None, "not finite"),
        (lambda t, y, dy: dy, lambda t, y, dy: np.eye(2), "no pair"),
        (lambda t, y, dy: dy, lambda t, y, dy: (np.eye(2), np.eye(3)), "dF/dy' of dae does not fit"),
    ],
)
def test_refusals_at_the_first_use(F, jac, message):
    with pytest.raises(ProblemError, match=message):
        sr.DAE.from_callable(F, 2, jac).check(0.0, np.ones(2), np.ones(2))


def test_a_point_of_the_wrong_length_is_refused():
    with pytest.raises(ProblemError, match="y' has the wrong length"):
        sr.DAE.from_callable(pendulum, 5).check(0.0, Y, DY[:4])


def test_analysis_is_refused_with_the_engines_that_take_it():
    with pytest.raises(ReductionError, match="idas"):
        sr.DAE.from_callable(pendulum, 5).symbols()


def test_reduce_says_where_numeric_equations_go():
    with pytest.raises(ProblemError, match=r"NumPy function[\s\S]*sr\.solve"):
        sr.reduce(sr.DAE.from_callable(pendulum, 5), {})
