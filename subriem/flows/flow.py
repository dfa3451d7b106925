"""Flows theta' = -A(theta) grad_x C: the geometrically adapted gradient flow and the standard one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.jacobian import MapJacobian
from subriem.core.lift import solve
from subriem.core.protocols import Array, Cost, Map
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.core.validate import positive, vector
from subriem.flows.casting import cast_flow
from subriem.flows.regime import Regime, survey
from subriem.reduction.dae import DAE

if TYPE_CHECKING:
    import casadi as ca


class FlowKind(StrEnum):
    """Which operator turns the output gradient into a velocity."""

    ADAPTED = "adapted"
    STANDARD = "standard"


@dataclass(frozen=True, eq=False)
class Flow:
    """A gradient flow of C(x[theta]); made by `adapted` or `standard`.

    Attributes
    ----------
    map : Map
        theta (K,) -> x (n,).
    cost : Cost
    kind : FlowKind
    damping : float
        mu of D^T (D D^T + mu)^{-1}, in squared units of sigma; 0 for D^+.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> net = sr.flows.network([1, 8, 1], [[-1.0], [0.0], [1.0]])
    >>> flow = sr.flows.adapted(net, sr.flows.squared_error([[1.0], [0.0], [1.0]]))
    >>> print(flow.regime(net.initial(seed=0)))
    over-parametrized: K = 25, n = 3, rank D = 3
    """

    map: Map
    cost: Cost
    kind: FlowKind
    damping: float = 0.0

    def velocity(self, theta: Any, rank: RankPolicy = DEFAULT_RANK) -> Array:
        """Return theta': -D^+ grad_x C (adapted) or -D^T grad_x C (standard), shape (K,).

        Raises
        ------
        ProblemError
            If theta does not fit.
        RankError
            If the rank is ambiguous and the policy says "raise".
        """
        theta = vector(theta, "theta", self.map.n_in)
        push = -self.cost.gradient(self.map.value(theta))
        if self.kind is FlowKind.STANDARD:
            return self.map.vjp(theta, push)
        return solve(MapJacobian(self.map, theta), push, rank, damping=self.damping)[1][0]

    def regime(self, theta: Any, rank: RankPolicy = DEFAULT_RANK) -> Regime:
        """Return the regime at theta, with dependent rows by name."""
        return survey(self.map, vector(theta, "theta", self.map.n_in), rank)[0]

    def stopping_time(self, theta0: Any, eps: float, rank: RankPolicy = DEFAULT_RANK) -> float:
        """Return the s at which |x - y| <= eps along the adapted flow, known before it is run.

        Parameters
        ----------
        theta0 : (K,) array_like
            Start.
        eps : float
            Bound on |x - y|, in output units.
        rank : RankPolicy

        Returns
        -------
        float
            N ln(|x0 - y|/eps) for C = |x-y|^2/(2N) (docs: mathematics, §1); with samples that stand twice only
            the part of x0 - y in range D decays, and the time is inf where their labels differ by more than eps allows.

        Raises
        ------
        ProblemError
            If eps <= 0, the flow is not the undamped adapted one, the cost is no multiple of |x - y|^2, or the rank
            at theta0 is not n (up to persistent relations): then there is no such time.
        """
        eps = positive(eps, "eps")
        theta0 = vector(theta0, "theta0", self.map.n_in)
        rate = self.cost.rate
        regime, _ = survey(self.map, theta0, rank)
        if self.kind is not FlowKind.ADAPTED or self.damping or rate is None or not regime.straight:
            raise ProblemError(
                "there is no a priori stopping time for this flow",
                f"{self.kind.value} flow, damping {self.damping:g}, rate {rate}, {regime.name.value}",
                "the undamped adapted flow of C = kappa |x - y|^2 where rank D = n",
                "sr.follow(flow, theta0, until=sr.Until(s=…)) and look at sol['cost']",
            )
        rest = self.cost.gradient(self.map.value(theta0)) / rate
        fixed = 0.0
        if regime.dependence is not None:
            offset = regime.dependence.null.T @ rest
            fixed = float(offset @ offset)
        moving = float(rest @ rest) - fixed
        allowed = eps**2 - fixed
        if allowed <= 0:
            return np.inf
        return max(0.0, float(np.log(moving / allowed)) / (2 * rate)) if moving > 0 else 0.0

    def dae(
        self,
        form: Literal["kkt", "lsq", "lm", "tracking", "output", "image", "inertial", "implicit"],
        *,
        Phi: Callable[[ca.SX], Any] | None = None,
        damping: float | None = None,
    ) -> DAE:
        """Write the adapted flow as a DAE in the clock s, for `reduce` and `solve`.

        Parameters
        ----------
        form : str
            With K parameters, n outputs and index (docs: mathematics, §4):

            - "kkt": theta' = v, v = D^T lam, D v = -grad_x C; rank D = n; index 1.
            - "lsq": theta' = v, r = -(D v + grad_x C), D^T r = 0, least |theta'| where open; index 1.
            - "lm": as "kkt" with D v + mu lam = -grad_x C, mu a parameter; regular for every D; index 1.
            - "tracking": theta' = D^T lam, X' = -grad C(X), x[theta] = X; rank D = n; index 2.
            - "output": x' = -grad C - J^T mu, Phi(x) = 0, J = dPhi/dx; J J^T invertible; index 2.
            - "image": x' = -grad C + mu, x = x[theta], D^T mu = 0; rank D = K; index 2 (K < n) or 1 (K = n).
            - "inertial": theta' = v, v' = D^T lam, x[theta] = X as in "tracking"; index 3; another motion.
            - "implicit": D^T D theta' = -D^T grad_x C, least |theta'| where open; index 0.
        Phi : callable, optional
            CasADi column x (n,) -> (m,), zero on the image of the map; for "output" only.
        damping : float, optional
            mu > 0 of "lm"; that of the flow unless given.

        Returns
        -------
        DAE
            Equations for the outputs are named by row, slope[3], or slope[row 2, output 1] by the map's own names. A
            start is given as at={"theta": theta0}, for "output" as at={"x": x0}; the rest is found.

        Raises
        ------
        ProblemError
            If the map has no symbolic function (networks have one for K <= 200), the flow is not the adapted one, the
            form is unknown, or an argument is missing, or belongs to another form.

        Warns
        -----
        LargeDAEWarning
            If K + n > 200.

        Examples
        --------
        >>> import casadi as ca, subriem as sr
        >>> line = sr.map(lambda t: [t[0] + 2 * t[1]], 2)
        >>> dae = sr.flows.adapted(line, sr.flows.squared_error([5.0])).dae("kkt")
        >>> dae.equations
        ('motion[0]', 'motion[1]', 'horizontal[0]', 'horizontal[1]', 'slope[0]')
        >>> sol = sr.solve(dae, 40.0, {"theta": [0.0, 0.0]})
        >>> sol["theta"][-1].round(6)
        array([1., 2.])
        """
        return cast_flow(self, form, Phi, damping)


def _checked(source: Any, cost: Any) -> None:
    if not isinstance(source, Map):
        raise ProblemError(
            "the first argument of a flow is not a map",
            type(source).__name__,
            "an object with n_in, n_out, value, jacobian, jvp and vjp",
            "sr.flows.network(…), sr.map(…) or sr.numpy_map(…)",
        )
    if getattr(cost, "n", None) != source.n_out:
        raise ProblemError(
            "map and cost do not fit together",
            f"the map has n = {source.n_out} outputs, the cost is for {getattr(cost, 'n', type(cost).__name__)}",
            "one target for each output, sample-major",
            "check the shape (N, Q) of the targets and the last width of the network",
        )
    samples = getattr(source, "samples", None)
    if samples is not None and samples != cost.samples:
        raise ProblemError(
            "map and cost do not fit together: the targets have another shape than the outputs",
            f"{cost.samples} rows of targets, {samples} samples",
            f"targets of shape ({samples}, {source.n_out // samples})",
            "targets.T or a reshape, one row a sample",
        )


def adapted(map: Map, cost: Cost, *, damping: float = 0.0) -> Flow:
    """Return the geometrically adapted gradient flow theta' = -D^+ grad_x C, in every regime.

    Parameters
    ----------
    map : Map
        theta (K,) -> x (n,).
    cost : Cost
        Of x.
    damping : float
        mu >= 0: theta' = -D^T (D D^T + mu)^{-1} grad_x C (Levenberg-Marquardt), in squared units of sigma(D).

    Returns
    -------
    Flow

    Raises
    ------
    ProblemError
        If map and cost do not fit together, or the damping is not a number >= 0.

    References
    ----------
    T. Chen, arXiv:2311.15487.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> line = sr.numpy_map(lambda t: 2 * t, lambda t: 2 * np.eye(1), 1, 1)
    >>> flow = sr.flows.adapted(line, sr.flows.squared_error([0.0]))
    >>> flow.velocity([3.0])
    array([-3.])
    """
    _checked(map, cost)
    return Flow(map, cost, FlowKind.ADAPTED, positive(damping, "damping", or_zero=True))


def standard(map: Map, cost: Cost) -> Flow:
    """Return the standard gradient flow theta' = -D^T grad_x C.

    Parameters
    ----------
    map : Map
        theta (K,) -> x (n,).
    cost : Cost
        Of x.

    Returns
    -------
    Flow

    Raises
    ------
    ProblemError
        If map and cost do not fit together.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> line = sr.numpy_map(lambda t: 2 * t, lambda t: 2 * np.eye(1), 1, 1)
    >>> sr.flows.standard(line, sr.flows.squared_error([0.0])).velocity([3.0])
    array([-12.])
    """
    _checked(map, cost)
    return Flow(map, cost, FlowKind.STANDARD)
