"""`reduce`: structure, consistent point, certificate, index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.reduction.array import differentiation_index, structural_index_holds
from subriem.reduction.certificate import Certificate
from subriem.reduction.consistent import ConsistentPoint, fixed_places, given_values
from subriem.reduction.dae import DAE, declared_weights
from subriem.reduction.numeric import NumericDAE
from subriem.reduction.prolongation import Prolongation
from subriem.reduction.reduction import Reduction
from subriem.reduction.repair import combine
from subriem.reduction.selection import Selection, select
from subriem.reduction.stage import Stage, examine, prolonged


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
        W of the least |W y^(d)| taken where the equations leave motion open; those declared with the DAE unless given.
        Where there are none, the differential variables weigh 1.
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
    if isinstance(dae, NumericDAE):
        raise ProblemError(
            f"reduce: {dae.name} is a NumPy function, and structure is read from symbols",
            "NumericDAE",
            "a DAE made by @sr.dae",
            "sr.solve, which decides its ranks by numbers and refuses an index above 1",
        )
    if not isinstance(dae, DAE):
        raise ProblemError("reduce: this is no DAE", type(dae).__name__, "an object made by @sr.dae", "sr.dae(…)")
    dae = dae.with_parameters(**parameters) if parameters else dae
    declared = declared_weights(dae, dae.weights if weights is None else weights)
    dae = dae if weights is None else replace(dae, weights=dict(weights))  # what reduces it anew finds them
    structure, system = prolonged(dae)
    fixed = fixed_places(dae, fix, system.columns)
    given = dict.fromkeys(fixed, 0.0) | given_values(dae, at, system.columns)
    stage, combinations = examine(structure, system, t, given, fixed, rank), []
    while stage.certificate.hidden and (better := combine(stage, rank)) is not None:
        combinations.append(better[1])
        guess = dict(zip(stage.point.columns, map(float, stage.point.jets), strict=True))
        stage = examine(*prolonged(better[0]), t, given, fixed, rank, guess)
    rank.report(stage.certificate.decision, "of the system Jacobian at the consistent point")
    selection = None
    if stage.certificate.kernel.shape[1] and not stage.certificate.hidden:
        selection = select(stage.certificate.kernel, stage.system.d, dae.variables, declared, rank)
        point = selected_point(stage.system, stage.point, stage.certificate, selection, dae.data(t))
        stage = replace(stage, point=point)
    index, kind = _index(dae, stage, bool(combinations), rank)
    return Reduction(
        dae=dae,
        combined=stage.system.dae,
        combinations=tuple(combinations),
        structure=stage.structure,
        consistent=stage.point,
        certificate=stage.certificate,
        selection=selection,
        structural_index=structure.index,
        index=index,
        index_kind=kind,
        degrees_of_freedom=sum(stage.system.d) - len(stage.certificate.constraints),
        policy=rank,
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


def _index(dae: DAE, stage: Stage, combined: bool, policy: RankPolicy) -> tuple[int, str]:
    """Return the index, and how it was found."""
    system, point, certificate = stage.system, stage.point, stage.certificate
    q, undetermined = dae.data(point.t), certificate.kernel.shape[1]
    if not (combined or certificate.hidden or certificate.invariants or certificate.ahead):
        rows = [system.top_rows[p] for p in certificate.base]
        jacobian = system.sparse_block(point.t, point.jets, q, rows, system.top_columns)
        c, d, orders = (np.array(x) for x in ([k for _, k in rows], system.d, dae.orders))
        if structural_index_holds(jacobian, c, d, orders, undetermined, policy):
            return stage.structure.index, "differentiation"
    known = dict(zip(point.columns, map(float, point.jets), strict=True))
    upper = None if combined or certificate.hidden else stage.structure.index
    open_ = 0 if certificate.hidden else undetermined
    found = differentiation_index(dae, upper, open_, point.t, q, known, policy)
    return (stage.structure.index, "structural") if found is None else (found, "differentiation")
