"""Gradient flows under constraints: closed forms, and the DAE against the field, which knows no DAE."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass

import casadi as ca
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import subriem as sr
from subriem.flows.constrained import ConstrainedFlow, constrained

TIGHT = {"rtol": 1e-12, "atol": 1e-13}


@dataclass(frozen=True)
class Case:
    """A flow, a start, a span, the index and the redundant equations expected, and the exact solution."""

    flow: ConstrainedFlow
    start: np.ndarray
    span: float
    index: int
    redundant: tuple[str, ...] = ()
    exact: Callable[[float], np.ndarray] | None = None


def rayleigh() -> Case:
    """H = y^T A y/2 on the sphere: y(s) = exp(-sA) y0 / |exp(-sA) y0|."""
    a = np.diag([1.0, 2.0, 4.0, 7.0])
    a[0, 1] = a[1, 0] = 0.5
    start = np.array([0.1, 0.5, -0.5, 0.7]) / np.linalg.norm([0.1, 0.5, -0.5, 0.7])

    def exact(s):
        moved = expm(-s * a) @ start
        return moved / np.linalg.norm(moved)

    flow = constrained(lambda y: ca.bilin(ca.DM(a), y, y) / 2, lambda y: {"sphere": ca.sumsqr(y) - 1}, dim=4)
    return Case(flow, start, 4.0, 2, exact=exact)


def rotation() -> Case:
    """H = -tr(B R) on SO(3), B = b Q^T, R^T R = 1 written out nine times.

    R' = (b/2) (Q - R Q^T R). For R = Q exp(alpha [axis]) this is alpha' = -b sin alpha, so
    tan(alpha/2) = exp(-b s) tan(alpha0/2).
    """
    axis, b, angle = np.array([1.0, 2.0, -2.0]) / 3, 1.5, 2.6
    hat = np.cross(np.eye(3), axis).T
    q = expm(np.cross(np.eye(3), [0.2, 0.5, 0.3]).T)

    def exact(s):
        alpha = 2 * np.arctan(np.exp(-b * s) * np.tan(angle / 2))
        return (q @ expm(alpha * hat)).ravel(order="F")

    def orthogonal(y):
        r = ca.reshape(y, 3, 3)
        return ca.vec(r.T @ r - ca.DM.eye(3))

    flow = constrained(lambda y: -b * ca.trace(ca.DM(q).T @ ca.reshape(y, 3, 3)), orthogonal, dim=9)
    return Case(flow, exact(0.0), 3.0, 2, ("phi[3]", "phi[6]", "phi[7]"), exact)


def heisenberg(copies: int) -> Case:
    """H = (x^2 + y^2)/2 + c z on ker omega, omega = dz - (x dy - y dx)/2.

    With q = |omega|^2 = 1 + r^2/4 and omega(grad H) = c: x' = -x + c y/(2q), y' = -y - c x/(2q), z' = -c + c/q. So
    r = r0 exp(-s), and with a = r0^2/4, L = ln((exp(2s) + a)/(1 + a)): phi = phi0 - c L/4, z = z0 - c s + c L/2.
    """
    c, start = 0.8, np.array([1.5, -0.5, 0.2])
    r0, phi0 = np.hypot(*start[:2]), np.arctan2(start[1], start[0])

    def exact(s):
        stretch = np.log((np.exp(2 * s) + r0**2 / 4) / (1 + r0**2 / 4))
        r, phi = r0 * np.exp(-s), phi0 - c * stretch / 4
        return np.array([r * np.cos(phi), r * np.sin(phi), start[2] - c * s + c * stretch / 2])

    def omega(y):  # the further copies are multiplied by functions of y
        return [[factor * y[1] / 2, -factor * y[0] / 2, factor] for factor in (1, 2 + ca.cos(y[2]))[:copies]]

    flow = constrained(lambda y: (y[0] ** 2 + y[1] ** 2) / 2 + c * y[2], forms=omega, dim=3)
    return Case(flow, start, 3.0, 1, ("forms[1]",) * (copies - 1), exact)


def both() -> Case:
    """A horizontal flow on a cylinder; no closed form."""
    flow = constrained(
        lambda y: (y[0] ** 2 + 2 * y[1] ** 2) / 2 + 0.8 * y[2],
        lambda y: y[0] ** 2 + y[1] ** 2 - 1,
        lambda y: [[y[1] / 2, -y[0] / 2, 1]],
        dim=3,
    )
    return Case(flow, np.array([0.6, 0.8, 0.0]), 3.0, 2)


CASES = {
    "sphere": rayleigh,
    "SO(3)": rotation,
    "Heisenberg": lambda: heisenberg(1),
    "Heisenberg, a form twice": lambda: heisenberg(2),
    "cylinder": both,
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]()


def test_the_dae_the_field_and_the_closed_form_agree(case):
    s = np.linspace(0.0, case.span, 7)[1:]
    sol = sr.solve(case.flow.dae, case.span, {"y": case.start}, t_eval=s, **TIGHT)
    field = solve_ivp(
        lambda _, y: case.flow.velocity(y), (0.0, case.span), case.start, method="DOP853", t_eval=s, **TIGHT
    )
    assert sol.status is sr.Status.SUCCESS
    assert np.abs(sol["y"] - field.y.T).max() < 1e-10
    if case.exact is not None:
        assert np.abs(sol["y"] - np.array([case.exact(time) for time in s])).max() < 1e-10
    assert (sol.reduction.index, sol.reduction.redundant) == (case.index, case.redundant)
    assert max(np.abs(case.flow.residual(y)).max(initial=0.0) for y in sol["y"]) < 1e-13


def test_energy_falls_at_the_rate_of_the_squared_speed(case):
    sol = sr.solve(case.flow.dae, case.span, {"y": case.start}, **TIGHT)
    energies = np.array([case.flow.energy(y) for y in sol["y"]])
    assert (np.diff(energies) < 0).all()
    y, h = sol(case.span / 3)[: case.flow.dim], 1e-5
    speed = case.flow.velocity(y)
    slope = (case.flow.energy(y + h * speed) - case.flow.energy(y - h * speed)) / (2 * h)
    assert slope == pytest.approx(-(speed @ speed), rel=1e-8)


def test_velocity_is_allowed_and_minus_the_gradient_up_to_multipliers(case):
    velocity, rows = case.flow.velocity(case.start), case.flow.constraint_rows(case.start)
    assert np.abs(rows @ velocity).max() < 1e-14
    rest = velocity + case.flow.gradient(case.start)
    basis = np.linalg.svd(rows)[2][: np.linalg.matrix_rank(rows)]
    assert np.abs(rest - basis.T @ (basis @ rest)).max() < 1e-14


def test_freedom_is_what_the_constraints_leave():
    freedom = {name: sr.reduce(make().flow.dae, {"y": make().start}).degrees_of_freedom for name, make in CASES.items()}
    assert freedom == {"sphere": 3, "SO(3)": 3, "Heisenberg": 3, "Heisenberg, a form twice": 3, "cylinder": 2}


def test_it_pickles():
    case = both()
    copy = pickle.loads(pickle.dumps(case.flow))
    assert np.array_equal(copy.velocity(case.start), case.flow.velocity(case.start))
    assert repr(copy) == "<constrained flow: dim 3, 1 holonomic and 1 nonholonomic constraints>"


def test_constraints_keep_the_names_they_are_given():
    flow = constrained(lambda y: y[0], lambda y: {"rod": ca.sumsqr(y[:2]) - 1, "pair": ca.vertcat(y[2], y[3])}, dim=4)
    assert flow.dae.equations[4:] == ("rod", "pair[0]", "pair[1]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((ca.sumsqr,), "has no constraint"),
        ((lambda y: y, ca.sumsqr), "cost is no scalar"),
        ((lambda y: "H", ca.sumsqr), "'cost' is not a CasADi SX expression"),
        ((ca.sumsqr, lambda y: y.T), "'phi' is not a column"),
        ((ca.sumsqr, lambda y: {"motion": y[0]}), "name of an equation stands twice"),
        ((ca.sumsqr, None, lambda y: [[1, 0]]), "does not fit the dimension"),
        ((ca.sumsqr, None, lambda y: y), "does not fit the dimension"),
        ((ca.sumsqr, None, lambda y: []), "returns no rows"),
        ((ca.sumsqr, lambda y: y[0] - ca.SX.sym("a")), "symbols that were not declared"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, words):
    with pytest.raises(sr.ProblemError, match=words):
        constrained(*arguments, dim=3)


def test_contradicting_constraints_are_named():
    flow = constrained(ca.sumsqr, lambda y: {"near": ca.sumsqr(y) - 1, "far": ca.sumsqr(y) - 4}, dim=2)
    with pytest.raises(sr.InconsistentError, match=r"near.*far|far.*near"):
        sr.reduce(flow.dae, {"y": [1.0, 0.0]})
