"""Which regime a map is in at theta: over-, under-parametrized, borderline, or rank-deficient, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from subriem.core.dependence import Dependence, dependent_rows, parallel_rows
from subriem.core.errors import ProblemError, RankError
from subriem.core.factor import Factorization
from subriem.core.jacobian import MapJacobian
from subriem.core.lift import factorize
from subriem.core.map import output_name
from subriem.core.protocols import Array, Cost, Map
from subriem.core.rank import DEFAULT_RANK, DENSE_BYTES, RankDecision, RankPolicy

#: Relations between rows persist if their defect at a point 1 % away is below this.
PERSISTENCE = 1e-9
#: How far from theta, relative to 1 + its root mean square, and how often, it is asked whether D has a higher rank.
NEARBY, PROBES = 1e-3, 3
#: Targets of dependent rows contradict each other if the cost they leave exceeds this share of C (1e-10 of |x - y|).
CONFLICT = 1e-20


class RegimeName(StrEnum):
    """The rows of the table of regimes (docs: mathematics, §1)."""

    OVER = "over-parametrized"
    UNDER = "under-parametrized"
    BORDERLINE = "borderline"
    DEFICIENT = "rank-deficient"


@dataclass(frozen=True, eq=False)
class Regime:
    """The regime of a map at a point.

    Attributes
    ----------
    name : RegimeName
    n_in, n_out : int
        K and n.
    rank : int
        rank D.
    decision : RankDecision
        On D itself (on the compressed D where relations persist: see `dependence`).
    dependence : Dependence or None
        The groups of dependent rows, for K >= n and rank < n.
    persistent : bool
        Whether the relations hold at nearby points too, as for a sample that stands twice; then the range of D has
        a constant part missing and the rest of the theory of the over-parametrized regime goes through on S^T x.
    names : tuple of tuple of str
        The groups by name.
    parallel : Dependence or None
        For K < n, the groups of rows that are parallel at theta and at points nearby, with one factor, as for a sample
        that stands twice; None without any. There is always a left null vector, so other relations are not looked for.
    nearby : int or None
        Rank of D at points nearby, looked at where the rank is not full and no relations explain it.

    Examples
    --------
    >>> import subriem as sr
    >>> net = sr.flows.network([1, 8, 1], [[-1.0], [0.5], [-1.0]])
    >>> flow = sr.flows.adapted(net, sr.flows.squared_error([[1.0], [0.0], [2.0]]))
    >>> regime = flow.regime(net.initial(seed=0))
    >>> regime.rank, regime.names, regime.straight
    (2, (('row 1, output 1', 'row 3, output 1'),), True)
    """

    name: RegimeName
    n_in: int
    n_out: int
    rank: int
    decision: RankDecision
    dependence: Dependence | None
    persistent: bool
    names: tuple[tuple[str, ...], ...]
    nearby: int | None = None
    parallel: Dependence | None = None

    @property
    def lasting(self) -> Dependence | None:
        """The relations between rows that hold at nearby points too."""
        return self.dependence if self.persistent else self.parallel

    @property
    def singular(self) -> bool:
        """Whether D has a lower rank here than at points nearby: the velocity jumps, and no flow starts here."""
        return self.nearby is not None and self.nearby > self.rank

    @property
    def straight(self) -> bool:
        """Whether the output of the adapted flow runs on a straight line (full row rank, up to fixed relations)."""
        return self.name in (RegimeName.OVER, RegimeName.BORDERLINE) or self.persistent

    def __str__(self) -> str:
        text = f"{self.name}: K = {self.n_in}, n = {self.n_out}, rank D = {self.rank}"
        if self.singular:
            text += f" ({self.nearby} nearby)"
        for group in self.names[:6]:
            kind = "dependent" if len(group) > 1 else "without effect"
            text += f"\n  {kind}: {', '.join(group[:8])}{' …' if len(group) > 8 else ''}"
        return text + (f"\n  … and {len(self.names) - 6} more groups" if len(self.names) > 6 else "")


def survey(
    source: Map, theta: Array, rank: RankPolicy = DEFAULT_RANK, *, memory: float = DENSE_BYTES
) -> tuple[Regime, Factorization]:
    """Decide the regime at theta; return it with a factorization of (compressed) D there.

    Parameters
    ----------
    source : Map
    theta : (K,) ndarray
    rank : RankPolicy
    memory : float
        Largest explicit D in bytes.

    Raises
    ------
    RankError
        If the rank is ambiguous and the policy says "raise", or cannot be decided within `memory`.
    """
    n, k = source.n_out, source.n_in
    jacobian = MapJacobian(source, theta)
    try:
        factor = factorize(jacobian, rank, memory=memory)
    except RankError:
        # D is too large to be looked at, and its Gram is singular: dependent rows can still be found from the Gram
        if k < n or not jacobian.structured:
            raise
        factor = None
    decision = factor.decision if factor is not None else None
    if factor is not None and decision is not None and (decision.full or k < n):
        rank.report(decision, "at the start")
        name = RegimeName.DEFICIENT
        if decision.full:
            name = RegimeName.UNDER if k < n else RegimeName.BORDERLINE if k == n else RegimeName.OVER
        nearby = _rank_nearby(source, theta, decision, rank, memory)
        parallel = _parallel(source, theta, rank, memory) if k < n else None
        names = _named(source, parallel)
        return Regime(name, k, n, decision.rank, decision, None, False, names, nearby, parallel), factor
    dependence = dependent_rows(jacobian, rank, memory=memory)
    kept = dependence.basis.shape[1]
    rank.report(dependence.decision, "at the start, among the rows")
    clear = dependence.nullity > 0 and not dependence.decision.ambiguous and kept > 0
    persistent = clear and dependence.defect(MapJacobian(source, _displaced(theta, 1e-2, 1)[0])) < PERSISTENCE
    if persistent or factor is None:
        factor = factorize(dependence.compress(jacobian), rank, memory=memory)
        decision = factor.decision
        persistent = persistent and decision is not None and decision.full
    assert decision is not None
    rank.report(decision, "at the start")
    names = _named(source, dependence)
    nearby = None if persistent else _rank_nearby(source, theta, decision, rank, memory)
    regime = Regime(RegimeName.DEFICIENT, k, n, decision.rank, decision, dependence, persistent, names, nearby)
    return regime, factor


def _named(source: Map, dependence: Dependence | None) -> tuple[tuple[str, ...], ...]:
    groups = dependence.groups if dependence is not None else ()
    return tuple(tuple(output_name(source, i) for i in group) for group in groups)


def _parallel(source: Map, theta: Array, rank: RankPolicy, memory: float) -> Dependence | None:
    """Return the rows of D that are parallel at theta and 1 % away, with one factor; None without any."""
    points = [theta, *_displaced(theta, 1e-2, PROBES)]
    if 8.0 * len(points) * source.n_out * source.n_in > memory:
        return None
    try:
        found = parallel_rows(np.hstack([MapJacobian(source, point).dense() for point in points]), rank)
    except ProblemError:  # the map ends nearby
        return None
    return found if found.nullity else None


def _displaced(theta: Array, distance: float, count: int) -> Array:
    """Return `count` points about theta, at `distance` relative to 1 + its root mean square, shape (count, K)."""
    size = distance * (1.0 + float(np.sqrt(theta @ theta / theta.size)))
    return theta + size * np.random.default_rng(0).standard_normal((count, theta.size))


def _rank_nearby(source: Map, theta: Array, here: RankDecision, rank: RankPolicy, memory: float) -> int | None:
    """Return the rank at points nearby, the least of those seen; None where the one here is full or not clear.

    For an analytic map all of them have the largest rank there is; the least is asked for since a piecewise linear
    one may change rank where theta is not singular.
    """
    if here.full or here.ambiguous:
        return None
    found = []
    for point in _displaced(theta, NEARBY, PROBES):
        jacobian = MapJacobian(source, point)
        try:
            decision = factorize(jacobian, rank, scale=here.sigma_max, memory=memory).decision
        except (RankError, ProblemError):  # D does not fit, or the map ends nearby
            return None
        if decision is None or decision.ambiguous:
            return None
        found.append(decision.rank)
    return min(found)


def conflicting_groups(regime: Regime, cost: Cost, x: Array) -> tuple[tuple[str, ...], ...]:
    """Return the groups of dependent rows whose targets contradict each other, by name.

    The relation U^T dx = 0 fixes U^T x, and the targets ask for U^T y: their difference can never be removed.
    """
    lasting = regime.lasting
    if lasting is None:
        return ()
    found = []
    for group, names in zip(lasting.groups, regime.names, strict=True):
        columns = lasting.null[:, np.abs(lasting.null[list(group)]).max(axis=0) > 0]
        if cost.floor(x, columns) > CONFLICT * cost.value(x):
            found.append(names)
    return tuple(found)
