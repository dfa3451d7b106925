"""`Reduction`: what is true of a DAE at a consistent point, and the reduced system it comes down to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import ReductionError
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision, RankPolicy
from subriem.core.result import Check, Result
from subriem.reduction.certificate import Certificate
from subriem.reduction.consistent import ConsistentPoint
from subriem.reduction.dae import DAE
from subriem.reduction.faces import Faces, build_faces
from subriem.reduction.jets import jet_name
from subriem.reduction.linearization import Linearization, linearize
from subriem.reduction.newton import TOLERANCE
from subriem.reduction.prolongation import Prolongation
from subriem.reduction.repair import Combination
from subriem.reduction.selection import Selection
from subriem.reduction.structure import Structure

#: Width after which the values of the consistent point are cut off in a report.
POINT_WIDTH = 100


@dataclass(frozen=True, eq=False, repr=False)
class Reduction(Result):
    """A reduced DAE with its certificate; made by `reduce`.

    Attributes
    ----------
    dae : DAE
    combined : DAE
        The same, with combinations in the place of equations that hid one of lower order.
    combinations : tuple of Combination
    structure : Structure
        Offsets and blocks of `combined`.
    consistent : ConsistentPoint
        Where rank was decided.
    certificate : Certificate
    selection : Selection or None
        How open directions are chosen, None if there are none.
    structural_index : int
        The index by the incidence of `dae` alone.
    index : int
        Differentiation index of the equivalent first-order form.
    index_kind : {"differentiation", "structural"}
        Whether ranks of the derivative array gave it, or the offsets alone.
    degrees_of_freedom : int
        Number of values a start may choose; open multipliers are not counted.
    policy : RankPolicy

    Examples
    --------
    >>> import subriem as sr
    >>> @sr.dae(variables="x y lam")
    ... def pendulum(t, v, d, p):
    ...     return {
    ...         "horizontal": d(v.x, 2) + v.lam * v.x,
    ...         "vertical": d(v.y, 2) + v.lam * v.y + 9.81,
    ...         "rod": v.x**2 + v.y**2 - 1,
    ...     }
    >>> red = sr.reduce(pendulum, at={"x": 0.6, "y": -0.8})
    >>> red.index, red.degrees_of_freedom, round(red.point["lam"], 12)
    (3, 2, 7.848)
    """

    dae: DAE
    combined: DAE
    combinations: tuple[Combination, ...]
    structure: Structure
    consistent: ConsistentPoint
    certificate: Certificate
    selection: Selection | None
    structural_index: int
    index: int
    index_kind: str
    degrees_of_freedom: int
    policy: RankPolicy

    # --- what was found, by name ------------------------------------------------------------------------------------

    @property
    def redundant(self) -> tuple[str, ...]:
        """Equations that follow, with their derivatives, from others."""
        return self._equations(self.certificate.redundant)

    @property
    def invariant(self) -> tuple[str, ...]:
        """Equations that restrict the start only: their highest derivative follows from others."""
        return self._equations(self.certificate.invariants)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Equations that hid, together with others, one of lower order, which structure cannot see."""
        found = {i for entry in self._kept for i in (entry.equation, *entry.others)}
        found |= {i for key, others in self.certificate.hidden.items() for i in (key, *others)}
        return self._equations(found - set(self.certificate.redundant))

    @property
    def _kept(self) -> list[Combination]:
        return [entry for entry in self.combinations if entry.others and not entry.dropped]

    @property
    def inconsistent(self) -> tuple[str, ...]:
        """Equations that contradict others: none, since `reduce` raises `InconsistentError` where there are any."""
        return ()

    @property
    def free(self) -> tuple[str, ...]:
        """Variables the equations leave open; the motion of least norm is taken."""
        if self.selection is None:
            return ()
        return tuple(self.dae.variables[j] for j in sorted({*self.selection.motion, *self.selection.multipliers}))

    @property
    def point(self) -> dict[str, float]:
        """The consistent point: x, x', lam, … by name."""
        names = (jet_name(self.dae.variables[j], k) for j, k in self.consistent.columns)
        return dict(zip(names, map(float, self.consistent.jets), strict=True))

    @property
    def decisions(self) -> tuple[RankDecision | str, ...]:
        """The rank decision on the system Jacobian, and in words what was made of it."""
        names = self.dae.equations
        sources = {entry.equation: entry.others for entry in self.combinations if entry.dropped}
        lines = [
            *(self._combination(entry) for entry in self._kept),
            *(
                f"{names[i]} follows from {self._list(o or sources.get(i, ()))}"
                for i, o in self.certificate.redundant.items()
            ),
            *(
                f"{names[i]} holds if it holds at the start: see {self._list(o)}"
                for i, o in self.certificate.invariants.items()
            ),
            *(
                f"{names[i]} with {self._list(o)} hides an equation of lower order"
                for i, o in self.certificate.hidden.items()
            ),
        ]
        return (self.certificate.decision, *lines)

    @property
    def blocks(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """(equations, variables) of the diagonal blocks, in an order in which they can be solved."""
        return tuple(
            (tuple(self.dae.equations[i] for i in b.rows), tuple(self.dae.variables[j] for j in b.cols))
            for b in self.structure.blocks
        )

    def _equations(self, found: Any) -> tuple[str, ...]:
        return tuple(self.dae.equations[i] for i in sorted(found))

    def _combination(self, entry: Combination) -> str:
        terms = [jet_name(self.dae.equations[i], k) for i, k in zip(entry.others, entry.times, strict=True)]
        listed = ", ".join(terms[:4]) + (" …" if len(terms) > 4 else "")
        return f"{self.dae.equations[entry.equation]} combined with {listed} is of lower order, and takes its place"

    def _list(self, equations: tuple[int, ...]) -> str:
        return ", ".join(self.dae.equations[i] for i in equations[:4]) + (" …" if len(equations) > 4 else "")

    # --- the reduced system ---------------------------------------------------------------------------------------

    @cached_property
    def system(self) -> Prolongation:
        """The differentiated equations."""
        return Prolongation(self.combined, self.structure.c.tolist(), self.structure.d.tolist())

    def __getstate__(self) -> dict[str, Any]:
        return {entry.name: self.__dict__[entry.name] for entry in fields(self)}  # SX does not pickle

    @cached_property
    def faces(self) -> Faces:
        """The reduced system as CasADi functions."""
        return self._faces(0.0)

    def stabilised(self, pole: float) -> Faces:
        """Return the functions with Baumgarte's stabilisation (d/dt + pole)^c f = 0, for pole > 0.

        Raises
        ------
        ReductionError
            If equations hide others: the reduced system is not regular.
        """
        return self._faces(pole) if pole else self.faces

    def _faces(self, pole: float) -> Faces:
        if self.certificate.hidden:
            raise ReductionError(
                f"equations {', '.join(self.hidden)} hide an equation of lower order",
                str(self.certificate.decision),
                "a regular system Jacobian at a consistent point",
                "combine these equations by hand so that their highest derivatives cancel, and state the result",
            )
        weights = None if self.selection is None else self.selection.weights
        return build_faces(self.system, self.certificate.base, self.certificate.constraints, weights, pole)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states z: x, x', ….."""
        return tuple(self.system.column_name(place) for place in self.system.state_columns)

    @property
    def top_names(self) -> tuple[str, ...]:
        """Names of the unknowns y_j^(d_j)."""
        return tuple(self.system.column_name(place) for place in self.system.top_columns)

    def drift(self, t: float, z: Array, q: Array | None = None) -> float:
        """Return the largest constraint between states, each over the length of its gradient.

        Parameters
        ----------
        t : float
        z : (len state_names,) ndarray
        q : ndarray, optional
            Data; those of the DAE at t unless given.
        """
        return float(np.abs(self._constraint_distances(t, z, self.dae.data(t) if q is None else q)).max(initial=0.0))

    def _constraint_distances(self, t: float, z: Array, q: Array) -> Array:
        if not self.system.invariant_rows:
            return np.zeros(0)
        value, gradient = self._constraints
        lengths = np.linalg.norm(np.atleast_2d(gradient(np.array([t]), z, q)), axis=0)
        return value(np.array([t]), z, q) / np.where(lengths > 0, lengths, 1.0)

    @cached_property
    def _constraints(self) -> tuple[BufferedFunction, BufferedFunction]:
        function = self.faces.invariants
        t, z, q = (ca.SX.sym(name, function.numel_in(i)) for i, name in enumerate(("t", "z", "q")))
        value = function(t, z, q)
        gradient = ca.densify(ca.jacobian(value, z).T)
        return BufferedFunction(function), BufferedFunction(ca.Function("gradient", [t, z, q], [gradient]))

    def linearize(self) -> Linearization:
        """Linearise the reduced system at the consistent point.

        Returns
        -------
        Linearization
            The pencil (E, A), the eigenvalues of the motions on the constraints, and at an equilibrium what they say
            of its stability.

        Raises
        ------
        ReductionError
            If equations hide others.

        Examples
        --------
        A pendulum of length 1 at rest swings with frequency sqrt(g):

        >>> import subriem as sr
        >>> @sr.dae(variables="x y lam")
        ... def pendulum(t, v, d, p):
        ...     return {
        ...         "horizontal": d(v.x, 2) + v.lam * v.x,
        ...         "vertical": d(v.y, 2) + v.lam * v.y + 4,
        ...         "rod": v.x**2 + v.y**2 - 1,
        ...     }
        >>> found = sr.reduce(pendulum, at={"x": 0.0, "y": -1.0}).linearize()
        >>> found.eigenvalues.imag.round(9), found.verdict
        (array([ 2., -2.]), 'undecided: eigenvalues on the imaginary axis')
        """
        return linearize(self)

    # --- as a result ------------------------------------------------------------------------------------------------

    @property
    def checks(self) -> tuple[Check, ...]:
        """Residual of the consistent point, condition of the system Jacobian, and how far given values were moved."""
        decision = self.certificate.decision
        return (
            Check(
                "residual",
                self.consistent.residual,
                TOLERANCE,
                "largest residual, relative to the terms of its equation",
            ),
            Check("cond J", decision.cond, None, str(decision)),
            Check("moved", self.consistent.moved, None, "largest change of a value that was given"),
        )

    def headline(self) -> str:
        """Return one line: index, freedom, and what is unusual."""
        unusual = [
            f"{word}: {', '.join(names)}"
            for word, names in (
                ("redundant", self.redundant),
                ("invariant", self.invariant),
                ("UNRESOLVED" if self.certificate.hidden else "hidden in", self.hidden),
                ("free", self.free),
            )
            if names
        ]
        start = f"{self.dae.name}: index {self.index} ({self.index_kind}), freedom {self.degrees_of_freedom}"
        return "; ".join([start, *unusual])

    def __str__(self) -> str:
        regular = len(self.certificate.base) == len(self.dae.equations) == len(self.dae.variables)
        said, *found = self.decisions
        where = f", worst of {_counted(len(self.structure.blocks), 'block')}" if regular else ""
        structure = f"combined: {self.structure}" if self._kept else str(self.structure)
        parts = [super().__str__(), structure, f"decision  J{where}: {said}"]
        parts += [f"decision  {line}" for line in found]
        if self.selection is not None:
            parts.append(f"selection {self._selected(self.selection)}")
        return "\n".join([*parts, self._abbreviated()])

    def _selected(self, selection: Selection) -> str:
        directions = _counted(self.certificate.kernel.shape[1], "open direction")
        moved = ", ".join(self.dae.variables[j] for j in selection.motion[:6])
        if not moved:
            return f"{directions}, of multipliers only: those of least norm are taken"
        return f"{directions} of {moved}: the least |W y^(d)| is taken"

    def _abbreviated(self) -> str:
        values = [f"{name} = {value:.6g}" for name, value in self.point.items()]
        line = f"point     t = {self.consistent.t:.6g}"
        for n, value in enumerate(values):
            if len(line) + len(value) > POINT_WIDTH:
                return f"{line}, and {len(values) - n} more"
            line += f", {value}"
        return line


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")
