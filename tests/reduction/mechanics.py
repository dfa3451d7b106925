"""Mechanical systems with constraints, differentiated by hand to equations affine in (accelerations, multipliers)."""

from dataclasses import dataclass

import casadi as ca
import numpy as np

GRAVITY = 9.81


@dataclass(frozen=True)
class Mechanics:
    """Positions q, velocities v, unknowns a = (q'', lam), g(t, q, v, a) = 0, and a consistent start (q, v)."""

    t: ca.SX
    q: ca.SX
    v: ca.SX
    a: ca.SX
    g: ca.SX
    start: np.ndarray
    energy: ca.Function | None = None

    def jacobian_at_start(self, expression):
        """Return the value of an expression in (t, q, v) at the start, for `solve_affine`."""
        n = self.q.numel()
        return ca.Function("J", [self.t, self.q, self.v], [expression])(0.0, self.start[:n], self.start[n:]).full()

    def explicit(self, a):
        """Return z' = (v, q'') as a function of (t, z, p), and lam(t, z)."""
        z, n = ca.vertcat(self.q, self.v), self.q.numel()
        field = ca.Function("f", [self.t, z, ca.SX.sym("p", 0)], [ca.vertcat(self.v, a[:n])])
        return field, ca.Function("lam", [self.t, z], [a[n:]])


def second_derivative(constraints, t, q, v, acceleration):
    rate = ca.jtimes(constraints, q, v) + ca.jacobian(constraints, t)
    return ca.jtimes(rate, q, v) + ca.jtimes(rate, v, acceleration) + ca.jacobian(rate, t)


def chain(n, angles=None, mass=None):
    """n unit rods in a plane, hung at the origin, released at rest; masses may depend on the positions."""
    t, q, v, a = ca.SX.sym("t"), ca.SX.sym("q", 2 * n), ca.SX.sym("v", 2 * n), ca.SX.sym("a", 3 * n)
    x, y = q[:n], q[n:]
    dx, dy = (ca.vertcat(c[0], *(c[i] - c[i - 1] for i in range(1, n))) for c in (x, y))
    rods = (dx**2 + dy**2 - 1) / 2
    weights = ca.SX.ones(2 * n) if mass is None else mass(q)
    newton = (
        weights * a[: 2 * n] + ca.jtimes(rods, q, a[2 * n :], True) + ca.vertcat(ca.SX.zeros(n), GRAVITY * weights[n:])
    )
    g = ca.vertcat(newton, second_derivative(rods, t, q, v, a[: 2 * n]))
    angles = np.full(n, np.pi / 2) if angles is None else np.asarray(angles)
    start = np.concatenate([np.cumsum(np.sin(angles)), -np.cumsum(np.cos(angles)), np.zeros(2 * n)])
    energy = ca.Function("E", [ca.vertcat(q, v)], [ca.dot(v, v) / 2 + GRAVITY * ca.sum1(y)])
    return Mechanics(t, q, v, a, g, start, energy)


def car_axis():
    """The car axis of the test set for IVP solvers; rows of Newton's law divided by k = M eps^2/2."""
    eps, mass, rest, amplitude, frequency = 0.01, 10.0, 0.5, 0.1, 10.0
    t, q, v, a = ca.SX.sym("t"), ca.SX.sym("q", 4), ca.SX.sym("v", 4), ca.SX.sym("a", 6)
    (xl, yl, xr, yr), k = ca.vertsplit(q), mass * eps**2 / 2
    yb = amplitude * ca.sin(frequency * t)
    xb = ca.sqrt(1 - yb**2)
    left, right = ca.sqrt(xl**2 + yl**2), ca.sqrt((xr - xb) ** 2 + (yr - yb) ** 2)
    lam1, lam2 = a[4], a[5]
    force = ca.vertcat(
        (rest - left) * xl / left + lam1 * xb + 2 * lam2 * (xl - xr),
        (rest - left) * yl / left + lam1 * yb + 2 * lam2 * (yl - yr) - k,
        (rest - right) * (xr - xb) / right - 2 * lam2 * (xl - xr),
        (rest - right) * (yr - yb) / right - 2 * lam2 * (yl - yr) - k,
    )
    constraints = ca.vertcat(xl * xb + yl * yb, (xl - xr) ** 2 + (yl - yr) ** 2 - 1)
    g = ca.vertcat(k * a[:4] - force, second_derivative(constraints, t, q, v, a[:4]))
    return Mechanics(t, q, v, a, g, np.array([0, 0.5, 1, 0.5, -0.5, 0, -0.5, 0]))
