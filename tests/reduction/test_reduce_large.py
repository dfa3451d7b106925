"""Sparse systems of a thousand unknowns: right, and without a large dense decomposition."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.reduction.certificate import SMALL


def rods(n):
    @sr.dae(variables={"x": n, "y": n, "lam": n})
    def chain(t, v, d, p):
        x, y, lam = ca.vertcat(0, v.x), ca.vertcat(0, v.y), v.lam
        dx, dy = x[1:] - x[:-1], y[1:] - y[:-1]
        above = [ca.vertcat(lam[1:] * part[1:], 0) for part in (dx, dy)]
        return {
            "across": d(v.x, 2) + lam * dx - above[0],
            "down": d(v.y, 2) + lam * dy - above[1] + 9.81,
            "rod": dx**2 + dy**2 - 1,
        }

    angles = np.linspace(0.3, 1.2, n)
    return chain, {"x": np.cumsum(np.sin(angles)), "y": -np.cumsum(np.cos(angles))}, 3, 2 * n


def ladder(n):
    @sr.dae(variables={"u": n, "i": n})
    def ladder(t, v, d, p):
        return {
            "ohm": ca.vertcat(ca.sin(t), v.u[:-1]) - v.u - v.i,
            "kirchhoff": v.i - ca.vertcat(v.i[1:], 0) - d(v.u),
        }

    return ladder, {}, 1, n


def heat(n):
    @sr.dae(variables={"u": n})
    def rod(t, v, d, p):
        u, h = v.u, 1 / (n - 1)
        return {
            "left": u[0] - ca.sin(t),
            "inner": d(u[1:-1]) - (u[2:] - 2 * u[1:-1] + u[:-2]) / h**2,
            "right": (u[n - 1] - u[n - 2]) / h + u[n - 1] ** 3,
        }

    return rod, {}, 1, n - 2


@pytest.mark.parametrize("system", [rods(333), ladder(500), heat(1000)], ids=["rods", "ladder", "heat"])
def test_a_thousand_unknowns(system, monkeypatch):
    dae, at, index, freedom = system
    svd = np.linalg.svd

    def small(matrix, *args, **keywords):
        assert max(np.shape(matrix)) <= SMALL
        return svd(matrix, *args, **keywords)

    monkeypatch.setattr(np.linalg, "svd", small)
    red = sr.reduce(dae, at=at)
    assert (red.index, red.index_kind, red.degrees_of_freedom) == (index, "differentiation", freedom)
    assert red.certificate.decision.full
    assert red.drift(0.0, red.consistent.values(red.system.state_columns)) < 1e-11
