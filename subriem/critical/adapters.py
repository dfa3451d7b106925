"""What has rest points, as a `RestProblem`: maps, fields, gradient flows, constrained flows and DAEs."""

from __future__ import annotations

from typing import Any, Protocol, cast

from subriem.core.errors import ProblemError
from subriem.core.map import parameter_name
from subriem.core.protocols import Array, Map
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.critical.constrainedmap import ConstrainedField, ConstrainedMap
from subriem.critical.daemap import Companion, NumericRest
from subriem.critical.gradientmap import FieldMotion, FlowMotion, GradientFlow, ResidualMap
from subriem.critical.legs import DaeLegs, FieldLegs
from subriem.critical.problem import RestProblem
from subriem.reduction.dae import DAE
from subriem.reduction.numeric import NumericDAE


class _Symmetric(Protocol):
    """What the capability "canonical" of a map means."""

    def canonical(self, theta: Array, /) -> Array: ...


def rest_problem(
    problem: Any, *, field: bool = False, zero_loss: bool = False, t: float = 0.0, rank: RankPolicy = DEFAULT_RANK
) -> RestProblem:
    """Return the equations of the rest points of a map, a flow or a DAE, with the motion around them.

    Parameters
    ----------
    problem : Map, Flow, ConstrainedFlow, DAE, NumericDAE or RestProblem
        A map F stands for the set F = 0, without a motion, or with field=True for the motion z' = F(z). The rest is
        told by the class: D^T grad_x C = 0 for a flow, -P grad H = 0 and phi = 0 for a constrained one, the equations
        with every derivative zero for a DAE.
    field : bool
        Of a map: whether it is a velocity.
    zero_loss : bool
        Of a flow: grad_x C = 0 instead, with D alone in the place of the Hessian. For the squared error these are the
        theta with x[theta] = y.
    t : float
        Time at which a DAE is held fixed.
    rank : RankPolicy
        Decides the rank of constraints and, of an undamped adapted flow, that of D.

    Returns
    -------
    RestProblem

    Raises
    ------
    ProblemError
        If it is none of these, a field has not as many components as variables, or an option does not belong to it.

    Notes
    -----
    The adapted flow is differentiable only where rank D is constant. In ker D, where it does not move, the linearised
    motion is here that of the standard flow: so the index is always the Morse index of the cost, and the eigenvalues
    in range D^T are those of the adapted flow.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> pitchfork = sr.map(lambda x: [x[0] - x[0] ** 3], 1)
    >>> problem = rest_problem(pitchfork, field=True)
    >>> problem.linearize(np.zeros(1))[1]
    array([[1.]])
    """
    flow = all(hasattr(problem, name) for name in ("map", "cost", "kind", "damping"))
    constrained = all(hasattr(problem, name) for name in ("constraint_rows", "gradient", "phi"))
    plain = isinstance(problem, Map)
    if (field and not plain) or (zero_loss and not flow):
        option = "field=True" if field else "zero_loss=True"
        owner = "a map" if field else "a flow with a cost"
        raise ProblemError(
            f"rest_problem: {option} does not belong to this", type(problem).__name__, owner, "leave it out"
        )
    if isinstance(problem, RestProblem):
        return problem
    if flow:
        return _flow(cast(GradientFlow, problem), zero_loss, rank)
    if constrained:
        return _constrained(cast(ConstrainedField, problem), rank)
    if isinstance(problem, DAE | NumericDAE):
        return _dae(problem, t) if isinstance(problem, DAE) else _numeric(problem, t)
    if isinstance(problem, Map):
        return _map(problem, field)
    raise ProblemError(
        "this has no rest points",
        type(problem).__name__,
        "a map, a flow, a constrained flow or a DAE",
        "sr.map(f, n) with field=True for the motion z' = f(z)",
    )


def _names(source: Map) -> tuple[str, ...]:
    return tuple(parameter_name(source, i) for i in range(source.n_in))


def _map(source: Map, field: bool) -> RestProblem:
    if not field:
        return RestProblem(source, _names(source), shown=source.n_in)
    if source.n_out != source.n_in:
        raise ProblemError(
            "this map is no field",
            f"n = {source.n_out} components of K = {source.n_in} variables",
            "one component for each variable",
            "field=False for the set F = 0",
        )
    motion = FieldMotion(source)
    return RestProblem(source, _names(source), motion.linearize, shown=source.n_in, follow=FieldLegs(source.value))


def _flow(flow: GradientFlow, zero_loss: bool, rank: RankPolicy) -> RestProblem:
    source, cost, motion = flow.map, flow.cost, FlowMotion(flow, rank)
    return RestProblem(
        map=ResidualMap(source, cost) if zero_loss else motion.gradient,
        names=_names(source),
        linearize=motion.linearize,
        gradient=True,
        cost=motion.energy,
        output=source if cost.is_quadratic else None,  # Proposition R (docs: mathematics, §3) needs |x - y|^2
        shown=source.n_in,
        canonical=cast(_Symmetric, source).canonical if "canonical" in source.capabilities else None,
        follow=FieldLegs(motion.velocity),
    )


def _constrained(flow: ConstrainedField, rank: RankPolicy) -> RestProblem:
    source = ConstrainedMap(flow, rank)
    forms = flow.rows.function.numel_out(0) // flow.dim - source.holonomic
    return RestProblem(
        map=source,
        names=tuple(f"y[{i}]" for i in range(flow.dim)),
        linearize=source.pencil,
        gradient=not forms,
        cost=source.energy,
        shown=flow.dim,
        follow=FieldLegs(source.velocity),
    )


def _dae(dae: DAE, t: float) -> RestProblem:
    companion = Companion(dae, t)
    return RestProblem(
        companion.rest(), dae.variables, companion.pencil, shown=len(dae.variables), follow=DaeLegs(companion)
    )


def _numeric(dae: NumericDAE, t: float) -> RestProblem:
    source = NumericRest(dae, t)
    return RestProblem(source, dae.variables, source.pencil, shown=dae.n)
