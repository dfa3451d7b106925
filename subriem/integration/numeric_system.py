"""A numeric DAE of index at most 1 as a system that can be marched: x' = u, with F(t, P x + Q a, P u) = 0 for u, a.

Engines see x' = u(t, x) alone. If they carried u as an unknown, they would control its error: in a stiff system, where
it is the error of x amplified, that costs a hundred times the steps (Robertson's problem: 35 000 of idas, not 520).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import casadi as ca
import numpy as np
from scipy.linalg import lapack

from subriem.core.equilibrated import weakest_direction
from subriem.core.protocols import Array
from subriem.core.rank import EPS
from subriem.integration.callback import Callback
from subriem.integration.integrator import NODES, Engine, Piece
from subriem.integration.motion import Motion
from subriem.integration.reduced import Nodes
from subriem.integration.stretch import Stretch
from subriem.integration.watch import Watch
from subriem.reduction.consistent import ConsistentPoint
from subriem.reduction.numeric_reduction import NumericJets, NumericReduction, derivative

#: Newton steps for the unknowns at most.
STEPS = 12
#: A step longer than this share of the one before asks for a new Jacobian.
SLOW = 0.05
#: Relative step below which an iteration that comes no further has found its unknowns.
ROUGH = 1e-10
#: Nodes whose derivatives are kept.
KEPT = 4 * NODES


class _Counted:
    """A function that counts its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.function(*arguments)


class NumericSystem:
    """x' = u(t, x), from the unknowns z = (u, a) with F(t, P x + Q a, P u) = 0.

    Parameters
    ----------
    reduction : NumericReduction

    Attributes
    ----------
    states : int
    rates : Callback
        (t, x, -, -) -> u; the two last ones are empty.
    algebraic : casadi.Function
        Nothing, of the same.
    calls : int
        How often F was called.
    undefined : bool
        Whether F was not finite somewhere since `start`.
    """

    quadratures = 0
    pole = 0.0
    constrained = False
    may_fail = True

    def __init__(self, reduction: NumericReduction) -> None:
        self.reduction = reduction
        self.splitting = reduction.splitting
        self.states = self.splitting.rank
        self._function = _Counted(reduction.dae.function)
        self._dae = replace(reduction.dae, function=self._function)
        self._jets = NumericJets(self._dae, reduction.system.differential, reduction.clock)
        self._jacobian = lru_cache(maxsize=KEPT)(self._jacobian_at)
        self._derivative = lru_cache(maxsize=KEPT)(self._derivative_at)
        sizes = (1, self.states, 0, 0)
        empty = [ca.MX.sym(name, size) for name, size in zip("txaq", sizes, strict=True)]
        self.rates = Callback("rates", self._rates, self._rates_by, sizes, self.states)
        self.algebraic = ca.Function("algebraic", empty, [empty[2]])
        self.start(self.carried(reduction.consistent)[1])

    def __getstate__(self) -> NumericReduction:
        return self.reduction

    def __setstate__(self, state: NumericReduction) -> None:
        self.__init__(state)

    @property
    def calls(self) -> int:
        """How often F was called."""
        return self._function.calls

    # --- the unknowns -----------------------------------------------------------------------------------------------

    def start(self, z: Array) -> None:
        """Let the next evaluation of u begin with these unknowns."""
        self._near, self._factors, self.undefined = z, None, False

    def _rates(self, t: Array, x: Array, *_: Array) -> Array:
        """Return u, NaN where no unknowns were found; the next search begins with those found last."""
        z, self._factors, found = self._newton(float(t[0]), x, self._near, self._factors)
        if not found:
            return np.full(self.states, np.nan)
        self._near = z
        return z[: self.states]

    def _rates_by(self, t: Array, x: Array, *_: Array) -> tuple[Array, ...]:
        """Return du/dt, du/dx and twice nothing, by (dF/dz) dz = -(dF/dt) dt - (dF/dx) dx."""
        time, none = float(t[0]), np.zeros((self.states, 0))
        z, _, found = self._newton(time, x, self._near, self._factors)
        by_x, by_z = self.splitting.jacobians(self._dae, time, x, z)
        by_t = self._jets.slope(time, *self.splitting.values(x, z), np.zeros(self._dae.n))
        moved, info = lapack.dgesv(by_z, np.column_stack([by_t, by_x]))[2:]
        moved = -moved[: self.states] if found and info == 0 else np.full((self.states, 1 + self.states), np.nan)
        return moved[:, :1], moved[:, 1:], none, none

    def _newton(self, t: float, x: Array, z: Array, factors: Any) -> tuple[Array, Any, bool]:
        """Return the unknowns at a state by simplified Newton steps, the last factors, and whether it converged."""
        previous, fresh = np.inf, False
        for _ in range(STEPS):
            if factors is None:
                factors, fresh = self._factored(t, x, z), True
            if factors is None:
                return z, None, False
            value = self.splitting.residual(self._dae, t, x, z)
            if not np.isfinite(value).all():
                self.undefined = True
                return z, None, False
            step = lapack.dgetrs(*factors, value)[0]
            size = float(np.abs(step).max()) / (1 + float(np.abs(z).max()))
            if not np.isfinite(size):
                return z, None, False
            if size <= 4 * EPS or (previous < np.inf and size**2 <= EPS * previous):
                return z - step, factors, True
            if size > SLOW * previous:
                if fresh and size > previous / 2:
                    return z, factors, size <= ROUGH  # as exact as F is, or lost
                factors, fresh = None, False
                if size > previous:
                    continue  # a step of the old Jacobian that leads away is not taken
            z, previous = z - step, size
        return z, factors, False

    def _factored(self, t: float, x: Array, z: Array) -> Any:
        matrix = self.splitting.jacobian(self._dae, t, x, z)
        *factors, info = lapack.dgetrf(matrix)
        return factors if info == 0 and np.isfinite(matrix).all() else None

    def carried(self, point: ConsistentPoint) -> tuple[Array, Array]:
        """Return the state and the unknowns at a consistent point."""
        return self.splitting.split(point.jets[::2], point.jets[1::2])

    def polish(self, t: Array, x: Array, a: Array, q: Array, project: bool = True) -> Nodes:
        """Return the points with the unknowns solved for; there are no constraints between states.

        Where dF/dz is singular they stay: residual and rank along the path tell of it.
        """
        return Nodes(t, x, self.unknowns(t, x, a), np.zeros(t.size))

    def unknowns(self, t: Array, x: Array, guesses: Array) -> Array:
        """Return the unknowns z at states (N, r); with one guess for all, each begins with those before."""
        out, factors = np.empty((t.size, self._dae.n)), None
        for i in range(t.size):
            z = guesses[i] if guesses.ndim == 2 else guesses if i == 0 else out[i - 1]
            out[i], factors, _ = self._newton(float(t[i]), x[i], z, factors)
        return out

    # --- along the motion -------------------------------------------------------------------------------------------

    def jacobians(self, nodes: Nodes, q: Array) -> Array:
        """Return dF/dz, shape (N, n, n)."""
        return np.array([self._jacobian(*_key(*place)) for place in zip(nodes.t, nodes.x, nodes.a, strict=True)])

    @property
    def block_sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of dF/dz, which is one block."""
        return ((self._dae.n, self._dae.n),)

    def blocks(self, nodes: Nodes, q: Array) -> list[Array]:
        """Return dF/dz as a block, shape (N, 1, n, n)."""
        return [self.jacobians(nodes, q)[:, None]]

    def distances(self, nodes: Nodes, q: Array) -> Array:
        """Return that there are no constraints between the states."""
        return np.zeros((nodes.t.size, 0))

    def jets(self, nodes: Nodes, q: Array) -> Array:
        """Return y and all of y' at `reduction.system.columns`, shape (N, 2 n)."""
        out = np.empty((nodes.t.size, 2 * self._dae.n))
        for row, t, x, z in zip(out, nodes.t, nodes.x, nodes.a, strict=True):
            row[::2] = self.splitting.values(x, z)[0]
            row[1::2] = self._derivative(*_key(t, x, z))
        return out

    def residuals(self, t: Array, jets: Array, q: Array) -> Array:
        """Return F with all of y', each over the length of dF/dz: it tells where ker dF/dy' has turned."""
        out = np.empty((t.size, self._dae.n))
        for i, row in enumerate(jets):
            y, dy = row[::2], np.nan_to_num(row[1::2], nan=0.0)
            lengths = np.linalg.norm(self._jacobian(*_key(t[i], *self.splitting.split(y, dy))), axis=1)
            out[i] = self._dae.residual(float(t[i]), y, dy) / np.where(lengths > 0, lengths, 1.0)
        return out

    def _jacobian_at(self, t: float, x: bytes, z: bytes) -> Array:
        return self.splitting.jacobian(self._dae, t, np.frombuffer(x), np.frombuffer(z))

    def _derivative_at(self, t: float, x: bytes, z: bytes) -> Array:
        y, dy = self.splitting.values(np.frombuffer(x), np.frombuffer(z))
        return derivative(self._jets, self.splitting, t, y, dy, self._jacobian(t, x, z))


def _key(t: float, x: Array, z: Array) -> tuple[float, bytes, bytes]:
    return float(t), x.tobytes(), z.tobytes()


class NumericWatch(Watch):
    """Residuals with all of y' along a path of a numeric DAE."""

    system: NumericSystem

    def violated(self, stretch: Stretch) -> tuple[float, str] | None:
        """Return when and how F depends on more of y' than at the start: then it is no longer what is integrated."""
        splitting = self.system.splitting
        if not splitting.Q.size:
            return None
        jets, residuals = self._on(stretch)
        known = jets.copy()
        known[:, 1::2] = np.nan_to_num(jets[:, 1::2], nan=0.0) @ splitting.P @ splitting.P.T
        change = residuals - self.system.residuals(stretch.nodes.t, known, stretch.q)
        worst = np.abs(np.nan_to_num(change, nan=0.0)).max(axis=1)
        broken = np.flatnonzero(worst > self._bound(stretch, jets))
        if not broken.size:
            return None
        k = int(broken[0])
        i = int(np.argmax(np.nan_to_num(np.abs(change[k]), nan=0.0)))
        t = float(stretch.nodes.t[max(k - 1, 0)])
        variables = self.system.reduction.dae.variables
        kernel = ", ".join(name for name, row in zip(variables, splitting.Q, strict=True) if row.any())
        return t, (
            f"ker dF/dy' is no longer what it was at the start (in {kernel}): {self.system.reduction.dae.equations[i]} "
            f"is missed by {worst[k]:.1e} at t = {stretch.nodes.t[k]:.6g}; a symbolic DAE has no such limit"
        )

    def culprit(self, here: Nodes, q: Array) -> str:
        """Name the unknowns that dF/dz leaves open at a point."""
        (matrix,) = self.system.jacobians(here, q)
        if not np.isfinite(matrix).all():
            return ""
        names = self.system.splitting.names(weakest_direction(matrix), self.system.reduction.dae.variables)
        return f": it leaves {', '.join(names[:4])} open" if names else ""


class NumericEngine(Engine):
    """An engine that calls F: it counts the calls, those along the path included, and lets pass what F raises."""

    def __init__(self, engine: Engine, system: NumericSystem) -> None:
        self.engine, self.system, self.notes = engine, system, engine.notes
        self._counted = 0

    def advance(self, t0: float, t1: float, x: Array, a: Array, q: Array, patient: bool = False) -> Piece:
        """Integrate from t0 to t1, or as far as it goes."""
        system = self.system
        system.start(a)
        piece = self.engine.advance(t0, t1, x, a[:0], q, patient)
        system.rates.raise_pending()
        unknowns = a[None] if piece.failure else np.vstack([a, system.unknowns(piece.t[1:], piece.x[1:], a)])
        failure = "a value of F was not finite" if piece.failure and system.undefined else piece.failure
        fresh, self._counted = system.calls - self._counted, system.calls
        return replace(piece, a=unknowns, failure=failure, stats={**piece.stats, "evaluations": fresh})


class NumericMotion(Motion):
    """What moves a numeric system."""

    system: NumericSystem

    @cached_property
    def engine(self) -> Engine:
        """The engine, set up when it is needed."""
        return NumericEngine(self.integrator.prepare(self.system, self.options), self.system)
