"""Index, freedom and structure of a DAE by definition, from ranks of its derivative array: small and slow.

Independent of the library's own analysis: derivatives are CasADi's Jacobians taken in full, ranks are NumPy's.
"""

from __future__ import annotations

from itertools import product

import casadi as ca
import numpy as np
from scipy.linalg import null_space
from scipy.optimize import linear_sum_assignment

from subriem.reduction.dae import DAE
from subriem.reduction.jets import jet_name


class DerivativeArray:
    """F = (f, f', ..., f^(k)) and its Jacobian in the derivatives y_j^(0 .. order_j + k)."""

    def __init__(self, dae: DAE, k: int, without: tuple[str, ...] = ()) -> None:
        self.dae, self.k = dae, k
        self.orders = dae.orders
        self.places = [(j, i) for j, order in enumerate(self.orders) for i in range(max(order, 1) + k + 1)]
        self.names = [jet_name(dae.variables[j], i) for j, i in self.places]
        Y = ca.SX.sym("Y", len(self.places))
        position = {place: i for i, place in enumerate(self.places)}
        t, q = ca.SX.sym("t"), ca.SX.sym("q", dae.function.numel_in(2))
        rows = dae.function(t, ca.vertcat(*(Y[position[place]] for place in dae.places)), q)
        rows = rows[[i for i, name in enumerate(dae.equations) if name not in without]]
        shift = ca.vertcat(*(Y[position[j, i + 1]] if (j, i + 1) in position else 0 for j, i in self.places))
        stack = [rows]
        for _ in range(k):
            rows = ca.cse(ca.jtimes(rows, Y, shift) + ca.jacobian(rows, t))
            stack.append(rows)
        F = ca.vertcat(*stack)
        self._function = ca.Function("F", [t, Y, q], [ca.densify(F), ca.densify(ca.jacobian(F, Y))])

    def __call__(self, t: float, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return F and its Jacobian, the rows scaled to a largest entry of 1: the kernel stays as it is."""
        F, J = (np.asarray(x) for x in self._function(t, Y, self.dae.data(t)))
        size = np.abs(J).max(axis=1, initial=0)
        size[size == 0] = 1
        return F.ravel() / size, J / size[:, None]

    def complete(self, t: float, known: dict[str, float]) -> tuple[np.ndarray, float]:
        """Return derivatives with the known ones held, the others by Gauss-Newton, and the residual left."""
        Y = np.array([known.get(name, 0.0) for name in self.names])
        loose = [i for i, name in enumerate(self.names) if name not in known]
        for _ in range(30):
            F, J = self(t, Y)
            step = np.linalg.lstsq(J[:, loose], -F, rcond=1e-11)[0]
            Y[loose] += step
            if np.abs(step).max(initial=0) < 1e-12 * (1 + np.abs(Y).max()):
                break
        return Y, float(np.abs(self(t, Y)[0]).max())

    def undetermined(self, t: float, Y: np.ndarray) -> dict[str, float]:
        """Return the variables whose first derivative above the state is no function of the state, with its spread.

        The sum of the squares of the spreads is the number of combinations that are not determined.
        """
        above = [i for i, (j, order) in enumerate(self.places) if order >= max(self.orders[j], 1)]
        kernel = null_space(self(t, Y)[1][:, above], rcond=1e-9)
        target = [r for r, i in enumerate(above) if self.places[i][1] == max(self.orders[self.places[i][0]], 1)]
        basis, sigma, _ = np.linalg.svd(kernel[target], full_matrices=False)
        spread = np.linalg.norm(basis[:, sigma > 1e-7], axis=1)
        return {name: float(x) for name, x in zip(self.dae.variables, spread, strict=True) if x > 1e-6}

    def freedom(self, t: float, Y: np.ndarray, free: set[str]) -> int:
        """Dimension of the consistent states, free algebraic variables left out."""
        kernel = null_space(self(t, Y)[1], rcond=1e-9)
        state = [
            i
            for i, (j, order) in enumerate(self.places)
            if order < max(self.orders[j], 1) and not (self.orders[j] == 0 and self.dae.variables[j] in free)
        ]
        sigma = np.linalg.svd(kernel[state], compute_uv=False)
        return int((sigma > 1e-7).sum())


def sigma_method(dae: DAE) -> int | None:
    """Pryce's structural index, None without a transversal."""
    rows, columns, orders = dae.incidence
    if len(dae.equations) != len(dae.variables):
        return None
    n = len(dae.equations)
    sigma = np.full((n, n), -1e6)
    np.maximum.at(sigma, (rows, columns), orders.astype(float))
    i, j = linear_sum_assignment(sigma, maximize=True)
    if sigma[i, j].min() < 0:
        return None
    c = np.zeros(n)
    while True:
        d = (sigma + c[:, None]).max(axis=0)
        new = d[j] - sigma[i, j]
        if (new == c).all():
            return int(c.max() + (d == 0).any())
        c = new


def jets_along(curve, t: float, names: list[str], order: int, h: float) -> dict[str, float]:
    """Return the derivatives at t of a curve t -> values, from a polynomial through Chebyshev points about t."""
    nodes = np.cos(np.pi * (np.arange(15) + 0.5) / 15)
    samples = np.array([[values[name] for name in names] for values in (curve(t + h * x) for x in nodes)])
    fit = np.polynomial.chebyshev.chebfit(nodes, samples, 13)
    found = {}
    for k, (i, name) in product(range(order + 1), enumerate(names)):
        derivative = np.polynomial.chebyshev.chebder(fit[:, i], k) if k else fit[:, i]
        found[jet_name(name, k)] = float(np.polynomial.chebyshev.chebval(0.0, derivative)) / h**k
    return found
