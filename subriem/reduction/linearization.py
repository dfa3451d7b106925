"""The reduced system linearised at its consistent point: pencil, eigenvalues on the constraints, stability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from subriem.core.equilibrated import rank_factor
from subriem.core.protocols import Array
from subriem.core.result import Check, Result

if TYPE_CHECKING:
    from subriem.reduction.reduction import Reduction

#: Largest |z'|, relative to the size of the point, at an equilibrium.
AT_REST = 1e-9
#: Largest part of a tangent vector that leaves the tangent space at an equilibrium.
KEPT = 1e-6
#: Real parts below this share of the largest |eigenvalue| decide nothing.
MARGIN = 1e-7


@dataclass(frozen=True, eq=False, repr=False)
class Linearization(Result):
    """E w' = A w for w = (z, u), z the states and u the unknowns of the reduced system; made by `Reduction.linearize`.

    Attributes
    ----------
    E, A : (n, n) ndarray
        E = diag(1, 0).
    states : tuple of str
        Names of z, the first entries of w.
    eigenvalues : (freedom,) ndarray of complex
        Those of the motions on the constraints, by decreasing real part.
    infinite : int
        Dimensions of w without a motion of their own: n - freedom.
    rate : float
        Largest |z'| at the point.
    normal : float
        How much of the motion of a tangent vector leaves the tangent space of the constraints, relative to the largest
        entry of the linear map: 0 at an equilibrium, and for linear equations.
    equilibrium : bool
        Whether z' = 0 at the point.
    """

    E: Array
    A: Array
    states: tuple[str, ...]
    eigenvalues: NDArray[np.complex128]
    infinite: int
    rate: float
    normal: float
    equilibrium: bool

    @property
    def verdict(self) -> str:
        """What the eigenvalues say of the equilibrium, by Lyapunov's first method."""
        if not self.equilibrium:
            return "not an equilibrium"
        if not self.eigenvalues.size:
            return "isolated: nothing moves"
        largest = float(self.eigenvalues.real.max())
        margin = MARGIN * float(np.abs(self.eigenvalues).max())
        if largest > margin:
            return "unstable"
        return "asymptotically stable" if largest < -margin else "undecided: eigenvalues on the imaginary axis"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Largest real part, rates, and invariance of the tangent space."""
        largest = float(self.eigenvalues.real.max(initial=-np.inf))
        return (
            Check("max Re", largest, None, f"largest real part of {self.eigenvalues.size} eigenvalues"),
            Check("rate", self.rate, None, "largest |z'| at the point: 0 at an equilibrium"),
            Check(
                "normal",
                self.normal,
                1e-6 if self.equilibrium else None,
                "part of a tangent that leaves the constraints",
            ),
        )

    def headline(self) -> str:
        """Return one line: counts and the verdict."""
        return f"{self.eigenvalues.size} finite and {self.infinite} infinite eigenvalues: {self.verdict}"

    def __str__(self) -> str:
        listed = ", ".join(f"{value:.6g}" for value in self.eigenvalues[:8])
        more = ", …" if self.eigenvalues.size > 8 else ""
        return f"{super().__str__()}\neigenvalues  {listed or 'none'}{more}"


def linearize(reduction: Reduction) -> Linearization:
    """Return the linearised system at the consistent point; see `Reduction.linearize`."""
    faces, point, policy = reduction.faces, reduction.consistent, reduction.policy
    t, q = point.t, reduction.dae.data(point.t)
    z = point.values(reduction.system.state_columns)
    u = _unknowns(reduction, q)
    symbols = [ca.SX.sym(name, size) for name, size in (("t", 1), ("z", z.size), ("u", u.size), ("q", q.size))]
    ode, algebraic = faces.ode(*symbols), faces.algebraic(*symbols)
    w = ca.vertcat(symbols[1], symbols[2])
    invariants = faces.projection(symbols[0], symbols[1], symbols[3])
    function = ca.Function(
        "linear", symbols, [ca.jacobian(ca.vertcat(ode, algebraic), w), ca.jacobian(invariants, symbols[1]), ode]
    )
    A, constraints, rates = (answer.full() for answer in function(t, z, u, q))
    n = z.size
    M = A[:n, :n] - A[:n, n:] @ np.linalg.solve(A[n:, n:], A[n:, :n])
    tangent = rank_factor(constraints, policy).kernel() if constraints.size else np.eye(n)
    image = M @ tangent
    inner = tangent.T @ image
    eigenvalues = np.linalg.eigvals(inner)
    rate = float(np.abs(rates).max(initial=0.0))
    scale = max(float(np.abs(M).max(initial=0.0)), np.finfo(float).tiny)
    return Linearization(
        E=np.diag(np.r_[np.ones(n), np.zeros(u.size)]),
        A=A,
        states=reduction.state_names,
        eigenvalues=eigenvalues[np.lexsort((-eigenvalues.imag, -eigenvalues.real))],
        infinite=n + u.size - eigenvalues.size,
        rate=rate,
        normal=float(np.abs(image - tangent @ inner).max(initial=0.0)) / scale,
        equilibrium=rate <= AT_REST * (1 + float(np.abs(z).max(initial=0.0))),
    )


def _unknowns(reduction: Reduction, q: Array) -> Array:
    """Return the kept unknowns, and behind them the mu of W^2 a + J^T mu = 0 where the motion is selected."""
    point, faces, selection = reduction.consistent, reduction.faces, reduction.selection
    a = point.values(reduction.system.top_columns)
    if selection is None:
        return a[list(faces.kept)]
    rows = [reduction.system.top_rows[p] for p in reduction.certificate.base]
    jacobian = reduction.system.sparse_block(point.t, point.jets, q, rows, reduction.system.top_columns).toarray()
    # J has independent rows, and W^2 a is in the range of J^T
    mu = np.linalg.solve(jacobian @ jacobian.T, -jacobian @ (selection.weights**2 * a))
    return np.concatenate([a, mu.astype(float)])
