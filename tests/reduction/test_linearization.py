"""Eigenvalues of a reduced DAE at its consistent point, against those known in closed form."""

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.zoo.dae import get


def pendulum(at, g=9.81, length=2.0, friction=0.0):
    @sr.dae(variables="x y lam", parameters={"g": g, "L": length, "c": friction})
    def system(t, v, d, p):
        return {
            "across": d(v.x, 2) + p.c * d(v.x) + v.lam * v.x,
            "down": d(v.y, 2) + p.c * d(v.y) + v.lam * v.y + p.g,
            "rod": v.x**2 + v.y**2 - p.L**2,
        }

    return sr.reduce(system, at=at).linearize()


def test_a_pendulum_at_rest_swings():
    found = pendulum({"x": 0.0, "y": -2.0})
    np.testing.assert_allclose(found.eigenvalues, np.sqrt(9.81 / 2) * np.array([1j, -1j]), atol=1e-9)
    assert found.equilibrium
    assert found.verdict == "undecided: eigenvalues on the imaginary axis"
    assert found.E.shape == found.A.shape
    assert found.infinite == len(found.E) - 2
    assert all(check.passed is not False for check in found.checks)


def test_a_pendulum_upright_falls_and_with_friction_comes_to_rest():
    falls = pendulum({"x": 0.0, "y": 2.0})
    np.testing.assert_allclose(falls.eigenvalues, np.sqrt(9.81 / 2) * np.array([1, -1]), atol=1e-9)
    assert falls.verdict == "unstable"
    rests = pendulum({"x": 0.0, "y": -2.0}, friction=0.3)
    np.testing.assert_allclose(rests.eigenvalues, np.roots([1, 0.3, 9.81 / 2]), atol=1e-9)
    assert rests.verdict == "asymptotically stable"
    assert "asymptotically stable" in str(rests)
    assert pendulum({"x": 2.0, "y": 0.0}).verdict == "not an equilibrium"


def test_a_rod_given_twice_changes_nothing():
    @sr.dae(variables="x y lam mu")
    def twice(t, v, d, p):
        rod = v.x**2 + v.y**2 - 4
        force = v.lam + v.mu
        return {"across": d(v.x, 2) + force * v.x, "down": d(v.y, 2) + force * v.y + 9.81, "rod": rod, "copy": 3 * rod}

    found = sr.reduce(twice, at={"x": 0.0, "y": -2.0}).linearize()
    np.testing.assert_allclose(found.eigenvalues, np.sqrt(9.81 / 2) * np.array([1j, -1j]), atol=1e-9)


@pytest.mark.parametrize(("R", "L", "C"), [(1.0, 0.5, 0.25), (5.0, 0.5, 0.25)], ids=["swinging", "creeping"])
def test_an_rlc_circuit(R, L, C):
    @sr.dae(variables="current capacitor coil resistor")
    def series(t, v, d, p):
        return {
            "capacitor": C * d(v.capacitor) - v.current,
            "coil": L * d(v.current) - v.coil,
            "ohm": v.resistor - R * v.current,
            "mesh": v.capacitor + v.coil + v.resistor,
        }

    found = sr.reduce(series).linearize()
    expected = np.roots([L, R, 1 / C])
    np.testing.assert_allclose(found.eigenvalues, sorted(expected, key=lambda s: (-s.real, -s.imag)), atol=1e-9)
    assert found.verdict == "asymptotically stable"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_pencil_of_index(size):
    """E = diag(1, N), A = diag(F, 1) between random matrices: the finite spectrum is that of F."""
    rng = np.random.default_rng(size)
    finite = np.array([[-1.0, 0.0, 0.0], [0.0, -0.5, 2.0], [0.0, -2.0, -0.5]])
    E, A = np.eye(3 + size), np.eye(3 + size)
    E[3:, 3:], A[:3, :3] = np.eye(size, k=1), finite
    left, right = (np.linalg.qr(rng.standard_normal((3 + size, 3 + size)))[0] for _ in range(2))
    system = sr.DAE.from_mass_matrix(left @ E @ right, lambda t, y: ca.DM(left @ A @ right) @ y)
    red = sr.reduce(system)
    assert (red.index, red.degrees_of_freedom) == (size, 3)
    found = red.linearize()
    np.testing.assert_allclose(found.eigenvalues, [-0.5 + 2j, -0.5 - 2j, -1], atol=1e-7)
    assert found.verdict == "asymptotically stable"


@pytest.mark.parametrize("name", ["pencil", "saddle", "lift", "chain-6", "fekete"])
def test_there_are_as_many_as_freedom(name):
    red = sr.reduce(get(name).dae, get(name).at)
    found = red.linearize()
    assert found.eigenvalues.shape == (red.degrees_of_freedom,)
    if name == "pencil":
        np.testing.assert_allclose(found.eigenvalues, [1j, -1j, -1], atol=1e-7)
        assert found.normal < 1e-9
    if name == "chain-6":
        assert found.verdict in ("not an equilibrium", "isolated: nothing moves")
