"""The verb `equilibria`: rest points by components, from a search in a box."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from subriem.core.budget import Budget, CancelToken, Progress
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.core.validate import positive, positive_integer, real_array
from subriem.critical.adapters import rest_problem
from subriem.critical.equilibriumset import EquilibriumSet
from subriem.critical.exploration import explored
from subriem.critical.searchstate import SearchState
from subriem.critical.system import ZERO, Box, scaled_system
from subriem.critical.units import units

#: Half of the side of the box that is taken where none is given.
HALF_SIDE = 2.0


def equilibria(
    problem: Any,
    *,
    starts: int | Sequence[Sequence[float]] | Array = 64,
    box: Any = None,
    trace: bool = True,
    step: float | None = None,
    rank: RankPolicy = DEFAULT_RANK,
    executor: Executor | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    progress: Progress | bool | None = None,
    cancel: CancelToken | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> EquilibriumSet:
    """Find rest points in a box and say how they lie: dimension, stability and topology of each component.

    Parameters
    ----------
    problem : Map, Flow, ConstrainedFlow, DAE, NumericDAE or RestProblem
        A map F stands for the set F = 0; other problems and options as in `rest_problem`.
    starts : int or (N, n) array_like
        Number of random points of the box, or the points themselves, from which rest points are looked for.
    box : float, or pair of float or (n,) array_like, optional
        Half side r of -r <= z_i <= r, or lower and upper bounds; 2 if left out. Manifolds are followed up to it, and
        half of its longest side is the unit in which "small" is meant. Where its sides differ by a factor above 100,
        each coordinate is measured in half its own side instead; so are spacing and measure of manifolds then.
    trace : bool
        Whether manifolds of dimension 1, 2 and 3 are covered by charts. Of one that is not, only a point is known: then
        rest points of a gradient flow of one class (dimension, index, cost, rank D) are taken for one component.
    step : float, optional
        Spacing of the charts, in units of z; else by curvature.
    rank : RankPolicy
        Decides ranks, the equations in units of their own.
    executor : concurrent.futures.Executor, optional
        For the search from the starts, and for stability and topology of the components; the answer is the same with
        any number of workers. A pool of processes needs a problem that can be pickled.
    seed : int
    budget : Budget, optional
        `evaluations` are those of the search, `steps` the charts of all components, `seconds` those of both; 20 000
        charts if left out.
    progress : callable or bool, optional
    cancel : CancelToken, optional
    checkpoint : path, optional
        File to which the state of the search is written about every 20 seconds and at the end:
        `sr.io.load(path).resume(problem)` goes on.

    Returns
    -------
    EquilibriumSet
        Also where the budget was spent or the run was cancelled, with what was found until then; its `resume` goes on.

    Raises
    ------
    ProblemError
        If an argument cannot be meant.

    Notes
    -----
    A start leads to a zero by damped least-norm steps (Levenberg, Marquardt). What the set is there is told by tests
    that must agree (`local_structure`); a manifold is covered by charts from there (after Henderson, Int. J.
    Bifurcation Chaos 12 (2002) 451), and a later start that ends on one is not looked at again. Where the rank changes
    along it, the branches that leave are followed too. A component is what was reached: two components may be joined
    outside the box, and none that no start led to is seen. Along curves the places are located where the index changes;
    in a parameter (`with_parameter`) these are folds, crossings and Hopf points.

    Examples
    --------
    >>> import subriem as sr
    >>> circle = sr.map(lambda x: [x[0] ** 2 + x[1] ** 2 - 1], 2)
    >>> found = sr.equilibria(circle, starts=8)
    >>> found.components[0].dimension, found.components[0].betti, found.components[0].starts
    (1, (1, 1), 8)
    """
    rest = rest_problem(problem)
    n = rest.map.n_in
    region = as_box(box, n)
    own = units(region)
    inner = own.box(region)
    state = SearchState(
        units=own,
        box=inner,
        weights=scaled_system(own.problem(rest).map, inner, seed).weights,
        tolerance=ZERO,
        policy=rank,
        trace=trace,
        step=positive(step, "step") if step is not None else None,
        starts=_starts(starts, region, seed) / own.scale,
        waiting=np.zeros((0, n)),
        own=np.zeros(0, dtype=bool),
    )
    return explored(
        rest, state, executor=executor, budget=budget, progress=progress, cancel=cancel, checkpoint=checkpoint
    )


def as_box(box: Any, n: int) -> Box:
    """Return the box that a half side, or lower and upper bounds, mean in R^n.

    Raises
    ------
    ProblemError
        If they mean none.
    """
    if box is None:
        box = HALF_SIDE
    if isinstance(box, int | float) and not isinstance(box, bool):
        half = positive(box, "box")
        return Box(np.full(n, -half), np.full(n, half))
    if isinstance(box, bool):
        box = ()
    hint = "box=2.0, box=(-1, 1), or box=(lower, upper) with one bound for each coordinate"
    try:
        lower, upper = box
        bounds = [np.broadcast_to(np.asarray(bound, dtype=float), (n,)).copy() for bound in (lower, upper)]
    except (TypeError, ValueError) as error:
        raise ProblemError("this is no box", repr(box), f"lower and upper bounds of {n} coordinates", hint) from error
    if not (np.isfinite(bounds).all() and (bounds[0] < bounds[1]).all()):
        bad = f"lower {bounds[0]}, upper {bounds[1]}"
        raise ProblemError("the box is empty or not bounded", bad, "finite lower < upper", hint)
    return Box(*bounds)


def random_starts(box: Box, count: int, seed: int) -> Array:
    """Return random points of the box; every second one is drawn towards its middle by a random factor.

    In many dimensions nearly all of a box is near its corners.
    """
    rng = np.random.default_rng(seed)
    points, middle = box.points(count, rng), (box.lower + box.upper) / 2
    points[1::2] = middle + rng.uniform(size=(count // 2, 1)) * (points[1::2] - middle)
    return points


def _starts(starts: Any, box: Box, seed: int) -> Array:
    n = box.lower.size
    if isinstance(starts, int | np.integer):
        return random_starts(box, positive_integer(starts, "starts"), seed)
    points = real_array(starts, "starts", ndim=2)
    if points.shape[1] != n:
        raise ProblemError(
            "the starts have the wrong length", f"shape {points.shape}", f"shape (N, {n})", "one start in each row"
        )
    return points
