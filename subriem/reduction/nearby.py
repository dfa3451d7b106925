"""What rank says at one point must be true at points nearby, or it is a coincidence of the point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from subriem.core.errors import RankError
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision, RankPolicy
from subriem.core.sparse import row_lengths
from subriem.reduction.certificate import Certificate, certify
from subriem.reduction.consistent import ConsistentPoint, consistent_point
from subriem.reduction.newton import is_consistent, iterate, natural_sizes, relative_residuals
from subriem.reduction.prolongation import Prolongation

#: Distance of points nearby, relative to the size of each value.
NEARBY = 1e-2
#: Steps in which a way is gone so that it stays on its branch of solutions.
SHORT = 8
#: Parts of a way that are tried until one leads to a point.
PARTS = (1.0, 1 / 8, 1 / 64)
#: Relative residual above which a dropped equation does not follow from the others, and never less than this many times
#: what is left of those.
VIOLATED, ROUNDOFFS = 1e-10, 1e3


@dataclass(frozen=True, eq=False)
class Way:
    """A way from a consistent point: a time, changes of the jets, and the units in which these return to the equations.

    Attributes
    ----------
    time : float
    change : ndarray
    units : ndarray or None
        Those that equilibrate the equations unless given.
    """

    time: float
    change: Array
    units: Array | None

    def shortened(self, share: float) -> Way:
        """Return a part of the way."""
        return Way(share * self.time, share * self.change, self.units)


def ways(system: Prolongation, point: ConsistentPoint, q: Array) -> list[Way]:
    """Return ways in random directions, and back: of the states, and of all jets to a later time.

    Where two branches of solutions cross, the first sort stays on the branch of the same unknowns.
    """
    size = NEARBY * natural_sizes(system, point.t, q, point.jets)
    states = np.isin(np.arange(size.size), [system.columns.index(place) for place in system.state_columns])
    generator = np.random.default_rng(0)
    found = []
    for time, moving in ((0.0, states), (_moment(system, point, q), np.ones_like(states))):
        change = size * moving * generator.uniform(0.5, 1.0, size.size) * generator.choice((-1.0, 1.0), size.size)
        found += [Way(time, change, np.ones(size.size)), Way(time, -change, None)]
    return found


def reached(system: Prolongation, point: ConsistentPoint, q: Array, way: Way, steps: int = 1) -> ConsistentPoint | None:
    """Return the consistent point to which a way leads, in as many steps; None if it leads to none."""
    t, jets = point.t, point.jets
    for k in range(1, steps + 1):
        t, start = point.t + way.time * k / steps, jets + way.change / steps
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            jets = iterate(system, t, q, start, np.arange(start.size), way.units)
    return replace(point, t=t, jets=jets) if is_consistent(system, t, q, jets) else None


def nearby_points(system: Prolongation, point: ConsistentPoint, q: Array) -> list[ConsistentPoint]:
    """Return the consistent points to which the ways lead in one step."""
    found = (reached(system, point, q, way) for way in ways(system, point, q))
    return [other for other in found if other is not None]


def refuse_singular_point(
    system: Prolongation, point: ConsistentPoint, certificate: Certificate, q: Array, policy: RankPolicy
) -> None:
    """Check that the system Jacobian has no higher rank at consistent points nearby.

    Raises
    ------
    RankError
        If it has.
    """
    rank = certificate.decision.rank
    for way in ways(system, point, q):
        there = _decided(system, reached(system, point, q, way), q, policy)
        # one leap may end on another branch of solutions, where the rank is another
        if there is not None and there.rank > rank:
            there = _decided(system, reached(system, point, q, way, SHORT), q, policy)
        if there is not None and there.rank > rank:
            break
    else:
        return
    raise RankError(
        f"{system.dae.name} is singular at this point: its system Jacobian loses rank here, and not nearby",
        f"rank {certificate.decision.rank} of {certificate.decision.size} at {_where(system, point)}; "
        f"rank {there.rank} of {there.size} at a consistent point nearby",
        "a point at which the rank is that of its neighbours",
        "another start, by at={…}",
    )


def _decided(system: Prolongation, point: ConsistentPoint | None, q: Array, policy: RankPolicy) -> RankDecision | None:
    return None if point is None else certify(system, point.t, point.jets, q, policy).decision


def confirm_dependence(
    system: Prolongation, point: ConsistentPoint, certificate: Certificate, q: Array, policy: RankPolicy
) -> None:
    """Check that what follows from other equations at the point does so a little later, and at states nearby.

    Raises
    ------
    InconsistentError
        If the equations contradict each other a little later: they agree at one time only.
    RankError
        If points nearby satisfy all other equations, and not the one that seemed to follow.
    """
    dropped = {**certificate.redundant, **certificate.invariants}
    given = dict(zip(point.columns, map(float, point.jets), strict=True))
    consistent_point(system, point.t + _moment(system, point, q), q, given, rank=policy)
    c = [
        -1 if i in certificate.redundant else top - 1 if i in certificate.invariants else top
        for i, top in enumerate(system.c)
    ]
    rest = Prolongation(system.dae, c, system.d)
    gone = sorted(set(range(len(system.rows))) - {system.rows.index(row) for row in rest.rows})

    def violated(other: ConsistentPoint | None) -> int | None:
        if other is None:
            return None
        residuals = relative_residuals(system, other.t, q, other.jets)
        left = max(VIOLATED, ROUNDOFFS * float(np.delete(residuals, gone).max(initial=0.0)))
        return system.rows[gone[int(residuals[gone].argmax())]][0] if residuals[gone].max() > left else None

    for way in ways(rest, point, q):
        for part in map(way.shortened, PARTS):
            other = reached(rest, point, q, part)
            if other is None:
                continue
            # one leap may end on another branch of solutions of fewer equations
            if violated(other) is not None and (equation := violated(reached(rest, point, q, part, SHORT))) is not None:
                raise _coincidence(system, point, equation, dropped[equation])
            break


def _moment(system: Prolongation, point: ConsistentPoint, q: Array) -> float:
    """Return a time in which no value and no equation changes by more than NEARBY of its size."""
    place = {column: index for index, column in enumerate(system.columns)}
    sizes = natural_sizes(system, point.t, q, point.jets)
    rates = [abs(point.jets[place[j, k + 1]]) / sizes[index] for (j, k), index in place.items() if (j, k + 1) in place]
    matrix = system.sparse_jacobian(point.t, point.jets, q)
    lengths = row_lengths(matrix[:, :-1])
    explicit = np.abs(matrix[:, [-1]].toarray().ravel()) / np.where(lengths > 0, lengths, 1.0)
    return NEARBY / max(1.0, max(rates, default=0.0), float(explicit.max(initial=0.0)))


def _coincidence(system: Prolongation, point: ConsistentPoint, equation: int, others: Sequence[int]) -> RankError:
    name, names = system.dae.equations[equation], ", ".join(system.dae.equations[i] for i in others)
    return RankError(
        f"equation {name} {f'depends on {names}' if others else 'has no gradient'} at this point, and not nearby",
        f"dependent gradients at {_where(system, point)}",
        "equations that are independent, or dependent on the whole set of solutions",
        f"another start, by at={{…}}, or leave {name} out",
    )


def _where(system: Prolongation, point: ConsistentPoint) -> str:
    values = list(zip((system.column_name(place) for place in system.columns), point.jets, strict=True))
    listed = ", ".join(f"{name} = {value:.4g}" for name, value in values[:8])
    return f"t = {point.t:.6g}, {listed}" + (", …" if len(values) > 8 else "")
