"""One look at a DAE: structure, consistent point, certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from subriem.core.rank import RankPolicy
from subriem.reduction.certificate import Certificate, certify
from subriem.reduction.consistent import ConsistentPoint, consistent_point
from subriem.reduction.dae import DAE
from subriem.reduction.nearby import confirm_dependence, refuse_singular_point
from subriem.reduction.prolongation import Place, Prolongation
from subriem.reduction.structure import Sigma, Structure, analyse


@dataclass(frozen=True, eq=False)
class Stage:
    """What was found of a DAE.

    Attributes
    ----------
    structure : Structure
    system : Prolongation
        With the offsets of the structure.
    point : ConsistentPoint
    certificate : Certificate
    """

    structure: Structure
    system: Prolongation
    point: ConsistentPoint
    certificate: Certificate


def prolonged(dae: DAE) -> tuple[Structure, Prolongation]:
    """Return the structure of a DAE, and the equations differentiated as it asks."""
    shape = len(dae.equations), len(dae.variables)
    structure = analyse(Sigma.from_entries(*dae.incidence, shape), dae.equations, dae.variables)
    return structure, Prolongation(dae, structure.c.tolist(), structure.d.tolist())


def examine(
    structure: Structure,
    system: Prolongation,
    t: float,
    given: Mapping[Place, float],
    fixed: Sequence[Place],
    rank: RankPolicy,
    guess: Mapping[Place, float] | None = None,
) -> Stage:
    """Find a consistent point near the given values, and decide the rank of the system Jacobian there.

    Parameters
    ----------
    structure, system
        As `prolonged` returns them.
    t : float
    given : mapping
        Values by place; those that do not occur are passed over.
    fixed : sequence of places
        Never moved.
    rank : RankPolicy
    guess : mapping, optional
        First values of what is not given.

    Raises
    ------
    InconsistentError
        If there is no consistent point.
    RankError
        If what rank says there is a coincidence of the point.
    """
    q, known = system.dae.data(t), set(system.columns)
    held = {place: value for place, value in given.items() if place in known}
    point = consistent_point(
        system, t, q, held, fix=[place for place in fixed if place in known], rank=rank, guess=guess
    )
    m, n = structure.sigma.shape
    square = m == n and bool((structure.match >= 0).all())
    blocks = [(b.rows, b.cols) for b in structure.blocks] if square else []
    certificate = certify(system, t, point.jets, q, rank, blocks)
    if not certificate.decision.full:
        refuse_singular_point(system, point, certificate, q, rank)
    if certificate.redundant or certificate.invariants:
        confirm_dependence(system, point, certificate, q, rank)
    return Stage(structure, system, point, certificate)
