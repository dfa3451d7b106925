"""`reduce`: structure, consistent point, certificate, index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError, RankError
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.reduction.array import ArrayRanks, differentiation_index
from subriem.reduction.certificate import Certificate, certify
from subriem.reduction.consistent import ConsistentPoint, consistent_point, given_values, jet_places, nearby_points
from subriem.reduction.dae import DAE
from subriem.reduction.prolongation import Prolongation
from subriem.reduction.reduction import Reduction, declared_weights
from subriem.reduction.selection import Selection, select
from subriem.reduction.structure import Sigma, Structure, analyse


def reduce(
    dae: DAE,
    at: Mapping[str, Any] | None = None,
    *,
    t: float = 0.0,
    fix: Iterable[str] = (),
    parameters: Mapping[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
    rank: RankPolicy = DEFAULT_RANK,
) -> Reduction:
    """Find the index, the freedom, and the redundant, hidden and open parts of a DAE at a consistent point.

    Parameters
    ----------
    dae : DAE
    at : mapping, optional
        Start values by name, {"x": 0.6, "x'": 0.0, "theta": array}; what is missing is found, what contradicts the
        equations is moved by least norm.
    t : float
        Time of the point.
    fix : iterable of str
        Values of `at` (0 where missing there) that must not move.
    parameters : mapping, optional
        Other values of parameters.
    weights : mapping of str to float, optional
        W of the least |W y^(d)| taken where the equations leave motion open; the differential variables weigh 1
        unless weights are given.
    rank : RankPolicy

    Returns
    -------
    Reduction

    Raises
    ------
    ProblemError
        If an argument does not fit, or an algebraic variable is open and no weight says how to choose it.
    InconsistentError
        If equations contradict each other; names them, with their residuals.

    References
    ----------
    Pryce, A simple structural analysis method for DAEs, BIT 41 (2001); Kunkel and Mehrmann (2006).

    Examples
    --------
    >>> import subriem as sr
    >>> @sr.dae(variables="x y lam1 lam2")
    ... def rods(t, v, d, p):
    ...     force = v.lam1 + v.lam2
    ...     return {
    ...         "horizontal": d(v.x, 2) + force * v.x,
    ...         "vertical": d(v.y, 2) + force * v.y + 9.81,
    ...         "rod": v.x**2 + v.y**2 - 1,
    ...         "rod_again": 1000 * (v.x**2 + v.y**2 - 1),
    ...     }
    >>> red = sr.reduce(rods, at={"x": 1.0, "y": 0.0})
    >>> red.redundant, red.free, red.degrees_of_freedom
    (('rod_again',), ('lam1', 'lam2'), 2)
    """
    if not isinstance(dae, DAE):
        raise ProblemError("reduce: this is no DAE", type(dae).__name__, "an object made by @sr.dae", "sr.dae(…)")
    dae = dae.with_parameters(**parameters) if parameters else dae
    q = dae.data(t)
    structure = analyse(Sigma.from_entries(*dae.incidence, _shape(dae)), dae.equations, dae.variables)
    system = Prolongation(dae, structure.c.tolist(), structure.d.tolist())
    fixed = [place for name in ([fix] if isinstance(fix, str) else fix) for place in jet_places(dae, name)]
    given = {place: 0.0 for place in fixed} | given_values(dae, at, system.columns)
    declared = declared_weights(dae, weights)
    point = consistent_point(system, t, q, given, fix=fixed, rank=rank)
    blocks = [(b.rows, b.cols) for b in structure.blocks] if _square(structure) else []
    certificate = certify(system, t, point.jets, q, rank, blocks)
    rank.report(certificate.decision, "of the system Jacobian at the consistent point")
    if not certificate.decision.full:
        _refuse_singular_point(dae, system, point, certificate, q, rank)
    selection = None
    if certificate.kernel.shape[1] and not certificate.hidden:
        selection = select(certificate.kernel, system.d, dae.variables, declared, rank)
        point = selected_point(system, point, certificate, selection, q)
    index, kind, freedom = _index_and_freedom(dae, structure, system, point, certificate, selection, q, rank)
    return Reduction(dae, structure, point, certificate, selection, index, kind, freedom, rank)


def _shape(dae: DAE) -> tuple[int, int]:
    return len(dae.equations), len(dae.variables)


def _square(structure: Structure) -> bool:
    """Whether every equation and every variable is matched."""
    m, n = structure.sigma.shape
    return m == n and bool((structure.match >= 0).all())


def _refuse_singular_point(
    dae: DAE, system: Prolongation, point: ConsistentPoint, certificate: Certificate, q: Array, policy: RankPolicy
) -> None:
    """Raise `RankError` if consistent points nearby have a system Jacobian of higher rank."""
    decisions = [
        certify(system, other.t, other.jets, q, policy).decision for other in nearby_points(system, point, q, policy)
    ]
    there = max(decisions, key=lambda decision: decision.rank, default=certificate.decision)
    if there.rank <= certificate.decision.rank:
        return
    values = zip((system.column_name(place) for place in system.columns), point.jets, strict=True)
    where = ", ".join(f"{name} = {value:.4g}" for name, value in list(values)[:8])
    raise RankError(
        f"{dae.name} is singular at this point: its system Jacobian loses rank here, and not nearby",
        f"rank {certificate.decision.rank} of {certificate.decision.size} at t = {point.t:.6g}, {where}; "
        f"rank {there.rank} of {there.size} at a consistent point nearby",
        "a point at which the rank is that of its neighbours",
        "another start, by at={…}",
    )


def selected_point(
    system: Prolongation, point: ConsistentPoint, certificate: Certificate, selection: Selection, q: Array
) -> ConsistentPoint:
    """Return the point with the unknowns of least |W y^(d)|, by Newton steps on W^2 a + J^T mu = 0, g = 0."""
    places = {place: index for index, place in enumerate(system.columns)}
    columns = [places[place] for place in system.top_columns]
    row_of = {place: index for index, place in enumerate(system.rows)}
    rows = [row_of[system.top_rows[p]] for p in certificate.base]
    jets, squares = point.jets.copy(), selection.weights**2
    for _ in range(20):
        jacobian = system.jacobian(point.t, jets, q)[np.ix_(rows, columns)]
        residual = system.residual(point.t, jets, q)[rows]
        n, r = len(columns), len(rows)
        matrix = np.block([[np.diag(squares), jacobian.T], [jacobian, np.zeros((r, r))]])
        right = np.concatenate([-squares * jets[columns], -residual])
        step = np.linalg.solve(matrix, right)[:n]
        jets[columns] += step
        if np.abs(step).max(initial=0.0) <= 1e-14 * (1 + np.abs(jets).max()):
            break
    return replace(point, jets=jets)


def _index_and_freedom(
    dae: DAE,
    structure: Structure,
    system: Prolongation,
    point: ConsistentPoint,
    certificate: Certificate,
    selection: Selection | None,
    q: Array,
    policy: RankPolicy,
) -> tuple[int, str, int]:
    known = dict(zip(point.columns, map(float, point.jets), strict=True))
    still = selection.still if selection is not None else 0
    if not certificate.hidden:
        undetermined = certificate.kernel.shape[1]
        found, _ = differentiation_index(dae, structure.index, undetermined, point.t, q, known, policy)
        freedom = sum(system.d) - len(certificate.constraints)
        return (structure.index, "structural", freedom) if found is None else (found, "differentiation", freedom)
    found, ranks = differentiation_index(dae, structure.index, None, point.t, q, known, policy)
    if found is None or ranks is None:
        return structure.index, "structural", sum(system.d) - len(certificate.constraints)
    return found, "differentiation", _freedom(ranks, still)


def _freedom(ranks: ArrayRanks, still: int) -> int:
    return ranks.states - ranks.constraints - still
