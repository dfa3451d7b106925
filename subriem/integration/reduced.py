"""The reduced system evaluated at many points at once: projection, unknowns, their rates, singular values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import casadi as ca
import numpy as np

from subriem.core.errors import RankError
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.reduction.reduction import Reduction

#: Newton steps of a projection or of the unknowns at most; they converge in one or two.
STEPS = 8
#: Roundoffs of the state at which a constraint counts as met.
ROUNDOFFS = 8.0


class Batch:
    """A CasADi function (t, z, a, q) -> column with its Jacobians, called for all rows of arrays at once."""

    def __init__(self, function: ca.Function, by: tuple[int, ...]) -> None:
        arguments = [ca.SX.sym(f"x{i}", function.numel_in(i)) for i in range(function.n_in())]
        value = function(*arguments)
        parts = [ca.densify(value)]
        parts += [ca.densify(ca.jacobian(value, arguments[i])) for i in by]
        self._function = ca.Function("batch", arguments, [ca.vec(ca.cse(part)) for part in parts])
        self._shapes = [(value.numel(), part.shape[1]) for part in parts[1:]]

    def __call__(self, *arguments: Array) -> list[Array]:
        """Return the value (N, m) and the Jacobians (N, m, len), for arguments of N rows."""
        count = arguments[0].shape[0]
        found = self._function.call([ca.DM(argument.reshape((count, -1)).T) for argument in arguments])
        arrays = [np.asarray(part).reshape((-1, count)).T for part in found]
        return [
            arrays[0],
            *(a.reshape((count, c, r)).transpose(0, 2, 1) for a, (r, c) in zip(arrays[1:], self._shapes, strict=True)),
        ]


@dataclass(frozen=True, eq=False)
class Nodes:
    """Points of a solution.

    Attributes
    ----------
    t : (N,) ndarray
    z : (N, m) ndarray
        States.
    a : (N, l) ndarray
        Unknowns as the engine carries them.
    drift : (N,) ndarray
        Largest constraint over the length of its gradient, before projection.
    """

    t: Array
    z: Array
    a: Array
    drift: Array


class ReducedSystem:
    """A reduction's functions in batches.

    Parameters
    ----------
    reduction : Reduction
    pole : float
        Baumgarte's pole.
    """

    def __init__(self, reduction: Reduction, pole: float = 0.0) -> None:
        self.reduction = reduction
        faces = reduction.stabilised(pole)
        self.faces = faces
        self._algebraic = Batch(faces.algebraic, (2,))
        self._all = Batch(faces.algebraic, (0, 1, 2))
        self._ode = Batch(faces.ode, ())
        self._tops = Batch(faces.tops, ())
        self._reduced = Batch(faces.reduced, (2,))
        self._constraints = Batch(faces.projection, (1,))
        self.constrained = bool(faces.projection.numel_out(0))

    def repeat(self, q: Array, count: int) -> Array:
        """Return the data for each of `count` points."""
        return np.tile(q, (count, 1))

    def polish(self, t: Array, z: Array, a: Array, q: Array, project: bool = True) -> Nodes:
        """Return the points with states moved onto the constraints by least norm, and the unknowns solved for."""
        data = self.repeat(q, t.size)
        z, drift = self.project(t, z, data, project)
        return Nodes(t, z, self.unknowns(t, z, a, data), drift)

    def project(self, t: Array, z: Array, data: Array, move: bool = True) -> tuple[Array, Array]:
        """Return the states after least-norm Newton steps onto the independent constraints, and the drift before."""
        if not self.constrained:
            return z, np.zeros(t.size)
        drift = np.zeros(t.size)
        for step in range(STEPS):
            value, gradient = self._constraints(t, z, data)
            lengths = np.linalg.norm(gradient, axis=2)
            lengths = np.where(lengths > 0, lengths, 1.0)
            distance = value / lengths
            if step == 0:
                drift = np.abs(distance).max(axis=1)
                if not move:
                    break
            size = 1 + np.abs(z).max()
            if not np.isfinite(distance).all() or np.abs(distance).max() <= ROUNDOFFS * EPS * size:
                break
            rows = gradient / lengths[:, :, None]
            gram = rows @ rows.transpose(0, 2, 1)
            try:
                multipliers = np.linalg.solve(gram, distance[:, :, None])
            except np.linalg.LinAlgError as error:
                raise RankError(
                    "the constraints between the states became dependent",
                    str(error),
                    "independent constraints along the path",
                    "project=False, or a path that ends before",
                ) from error
            z = z - (rows.transpose(0, 2, 1) @ multipliers)[:, :, 0]
        return z, drift

    def unknowns(self, t: Array, z: Array, a: Array, data: Array) -> Array:
        """Return the unknowns at given states, by Newton's iteration from `a`."""
        if not a.shape[1]:
            return a
        for _ in range(STEPS):
            value, jacobian = self._algebraic(t, z, a, data)
            try:
                step = np.linalg.solve(jacobian, value[:, :, None])[:, :, 0]
            except np.linalg.LinAlgError:  # singular at one of the points: the rank along the path will tell
                return a
            if not np.isfinite(step).all():
                return a
            a = a - step
            if (np.abs(step).max(axis=1) <= 4 * EPS * (1 + np.abs(a).max(axis=1))).all():
                break
        return a

    def rates(self, t: Array, z: Array, a: Array, data: Array) -> tuple[Array, Array]:
        """Return z' and z'' along the motion, the second from a' = -(dg/da)^-1 (dg/dt + dg/dz z')."""
        (first,) = self._ode(t, z, a, data)
        _, by_t, by_z, by_a = self._all(t, z, a, data)
        right = by_t[:, :, 0] + np.einsum("nij,nj->ni", by_z, first)
        change = -np.linalg.solve(by_a, right[:, :, None])[:, :, 0] if a.shape[1] else a
        return first, self._second(t, z, a, data, first, change)[0]

    @cached_property
    def _second(self) -> Batch:
        """Z'' as the derivative of the ode along (1, z', a')."""
        ode = self.faces.ode
        t, z, a, q = (ca.SX.sym(f"x{i}", ode.numel_in(i)) for i in range(4))
        dz, da = ca.SX.sym("dz", z.numel()), ca.SX.sym("da", a.numel())
        along = ca.jtimes(ode(t, z, a, q), ca.vertcat(t, z, a), ca.vertcat(1, dz, da))
        return Batch(ca.Function("second", [t, z, a, q, dz, da], [along]), ())

    def tops(self, t: Array, z: Array, a: Array, data: Array) -> Array:
        """Return the y_j^(d_j), shape (N, n)."""
        return self._tops(t, z, a, data)[0]

    def jacobians(self, t: Array, z: Array, a: Array, data: Array) -> Array:
        """Return the system Jacobian of the base equations, shape (N, r, n)."""
        return self.reduced(t, z, self.tops(t, z, a, data), data)

    def reduced(self, t: Array, z: Array, tops: Array, data: Array) -> Array:
        """Return the same for given y_j^(d_j)."""
        return self._reduced(t, z, tops, data)[1]
