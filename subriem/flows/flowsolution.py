"""The result of `follow`: a Solution with both clocks, its regime, and its certificates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.result import Check
from subriem.flows.ending import Ending
from subriem.flows.field import Clock, Line, to_s, to_t
from subriem.flows.regime import Regime
from subriem.flows.state import FlowState
from subriem.flows.units import UnitFinding
from subriem.integration.solution import Solution

#: Quadratures that every run makes.
BUILT_IN = ("length", "output_length", "alignment")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FlowSolution(Solution):
    """The path of a flow; `sol.y` is theta (n_t, K), and `sol(.)` takes the clock that was used.

    Channels: "theta" (n_t, K), "x" (n_t, n), "velocity" (n_t, K; per unit of the clock used), "cost", "sigma_min",
    "sigma_max", "speed", "drift" (relative to the chord), "length" (Euclidean, of theta), for the adapted flow
    "output_length" (of x), and in the s-clock "alignment" (integral of cos^2 phi ds).

    Attributes
    ----------
    clock : {"s", "t"}
        The independent variable of the run, which `sol(.)` takes and `sol.grid` holds.
    y : (n_t, K) ndarray
        theta at the accepted points.
    channels : mapping of str to ndarray
        The quantities above, first axis n_t.
    dense : DenseOutput
        theta between the accepted points; `sol(.)` calls it.
    events : tuple of Occurrence
    rank : (n_t,) ndarray of int
        Decided rank along the path, -1 where none was taken.
    status, message : Status, str
        How the run ended.
    stats : dict
        Counts, backends of the lift, closing residuals, what was thinned.
    goal : float or None
        (C - floor)/C0 that was asked for.
    s, t : (n_t,) ndarray
        Both clocks at the accepted points; s is inf at t = 1, and t is nan for a cost without a rate.
    rate : float or None
        2 kappa of the cost, linking the clocks by t = 1 - e^{-rate s}.
    regime : Regime or None
        At the start; None for the standard flow.
    line : Line or None
        The straight output line, where the theory promises one.
    cost_floor : float
        Cost that contradicting targets of dependent rows leave; 0 without any, and for K < n, where it is not known.
    cost_bound : float
        A lower bound of the cost on every path from the start, from the contradicting targets of dependent rows. It is
        `cost_floor` for K >= n; for K < n it counts parallel rows alone, and the least cost may be larger.
    conflicts : tuple of tuple of str
        Those rows, by name.
    theta_error : float
        Accumulated embedded error estimates, in parameter units.
    reference_error : float
        Distance of the end from that of a tighter unprojected run (`verify=True`), else nan.
    singularity : Ending or None
        The located end of a path that could not be continued.
    units : tuple of UnitFinding
        The units of a network that carry the null vector at a singular end, for K < n.
    state : FlowState
        Where the run can be resumed: ``sr.follow(flow, sol, until=…)`` returns both pieces joined.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> cube = sr.numpy_map(lambda t: t**3 + t, lambda t: np.diag(3 * t**2 + 1), 1, 1)
    >>> sol = sr.follow(sr.flows.adapted(cube, sr.flows.squared_error([2.0])), [0.0])
    >>> float(np.round(sol.theta[0], 12)), sol.cost_ratio < 1e-28, float(np.round(sol(0.5)[0], 6))
    (1.0, True, 0.682328)
    """

    clock: Clock
    s: Array
    rate: float | None
    regime: Regime | None
    line: Line | None
    cost_floor: float
    conflicts: tuple[tuple[str, ...], ...]
    goal: float | None
    theta_error: float
    reference_error: float
    singularity: Ending | None
    state: FlowState
    units: tuple[UnitFinding, ...] = ()
    cost_bound: float = 0.0

    @property
    def grid(self) -> Array:
        """The values of the clock of the run, shape (n_t,)."""
        return self.t if self.clock == "t" else self.s

    @property
    def theta(self) -> Array:
        """The last parameter, shape (K,)."""
        return self.state.theta

    @property
    def cost0(self) -> float:
        """Cost at the start of the run."""
        return self.state.cost0

    @property
    def cost_ratio(self) -> float:
        """(C - floor)/C0 at the end."""
        excess = float(self.stats.get("final_cost", self["cost"][-1])) - self.cost_floor
        return max(excess, 0.0) / self.cost0 if self.cost0 > 0 else 0.0

    @property
    def drift(self) -> float:
        """Largest distance of an accepted output from the exact line, relative to the chord; nan without a line."""
        values = self["drift"][np.isfinite(self["drift"])]
        return float(values.max()) if values.size else np.nan

    @property
    def path_length(self) -> float:
        """Euclidean length of the parameter path, as a quadrature of the integrator."""
        return self.state.integrals.get("length", 0.0)

    @property
    def quadrature_errors(self) -> dict[str, float]:
        """Accumulated error estimates of the quadratures at the end, by name, each in the units of its integral.

        They are those of the rules, at the points that the steps visit: a peak between all of them is not seen, and
        what the error of theta does to an integrand is not counted.
        """
        return dict(self.state.quadrature_errors)

    @property
    def path_bound(self) -> float:
        """|x0 - end|/lambda, lambda the least sigma_min met (docs: mathematics, §1).

        An upper bound of the path's length if sigma_min >= lambda on the whole ball of that radius: not a proof.
        """
        lowest = float(np.nanmin(self["sigma_min"])) if np.isfinite(self["sigma_min"]).any() else np.nan
        return self.line.chord / lowest if self.line is not None and lowest > 0 else np.nan

    def at(self, *, s: Any = None, t: Any = None) -> Array:
        """Return theta at s or at t = 1 - e^{-rate s}, whichever clock was used.

        Raises
        ------
        ProblemError
            If not exactly one of s and t is given, the cost has no rate, or the time is outside the path.
        """
        if (s is None) == (t is None):
            raise ProblemError("sol.at needs one clock", f"s = {s}, t = {t}", "s=… or t=…", "sol.at(s=1.0)")
        wanted: Clock = "s" if t is None else "t"
        value = np.asarray(s if t is None else t, dtype=float)
        if wanted == self.clock:
            return self(value)
        if self.rate is None:
            raise ProblemError("this cost has no t-clock", "unequal weights", "C = kappa |x - y|^2", "sol.at(s=…)")
        return self(to_t(value, self.rate) if wanted == "s" else to_s(value, self.rate))

    @property
    def checks(self) -> tuple[Check, ...]:
        """The measured certificates of the run."""
        found = [
            Check("(C - floor)/C0", self.cost_ratio, self.goal, "cost left at the end, relative to the start"),
        ]
        if self.line is not None and np.isfinite(self.drift):
            bound = 1e-8 if self.stats.get("projected") else None
            found.append(
                Check("drift", self.drift, bound, "distance of the output from the exact straight line, per chord")
            )
        relative = self.theta_error / self.path_length if self.path_length > 0 else 0.0
        found.append(
            Check("theta error", relative, None, "accumulated error estimate of the parameters, per path length")
        )
        if np.isfinite(self.reference_error):
            reference = self.reference_error / self.path_length
            found.append(
                Check("reference error", reference, None, "distance from a tighter unprojected run, per path length")
            )
        for name, error in self.quadrature_errors.items():
            if name not in BUILT_IN:
                meaning = f"accumulated error estimate of the integral {self.state.integrals[name]:.6g}, in its units"
                found.append(Check(f"error of {name}", error, None, meaning))
        if "stationarity" in self.stats:
            found.append(Check("|D^T (x-y)|", self.stats["stationarity"], None, "zero at an equilibrium"))
        if np.isfinite(self["sigma_min"]).any():
            ratio = float(np.nanmin(self["sigma_min"]) / np.nanmax(self["sigma_max"]))
            found.append(Check("sigma_min/sigma_max", ratio, None, "smallest kept singular value met on the path"))
        relations = (self.regime.dependence or self.regime.parallel) if self.regime is not None else None
        if relations is not None:
            found.append(
                Check(
                    "dependent rows",
                    float(relations.nullity),
                    None,
                    f"relations between outputs: {_listed(self.regime.names if self.regime else ())}",
                )
            )
        if self.conflicts and self.cost_floor > 0:
            found.append(Check("cost floor", self.cost_floor, None, "left by contradicting targets, cannot be removed"))
        elif self.conflicts:
            meaning = "lower bound of the cost, left by contradicting targets of parallel rows; K < n may leave more"
            found.append(Check("cost bound", self.cost_bound, None, meaning))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return arrays and plain values by name."""
        return {
            **super().to_dict(),
            "s": self.s,
            "clock": self.clock,
            "rate": self.rate,
            "cost0": self.cost0,
            "cost_floor": self.cost_floor,
            "cost_bound": self.cost_bound,
            "conflicts": [list(group) for group in self.conflicts],
            "theta_error": self.theta_error,
            "quadrature_errors": self.quadrature_errors,
            "regime": str(self.regime) if self.regime is not None else None,
        }


def _listed(groups: tuple[tuple[str, ...], ...]) -> str:
    """Return the first groups of rows, each with its first names."""
    shown = ["(" + ", ".join(group[:4]) + (", …" if len(group) > 4 else "") + ")" for group in groups[:3]]
    return " ".join(shown) + (" …" if len(groups) > 3 else "")
