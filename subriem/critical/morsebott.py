"""The Morse-Bott inequalities: what the rest points of a gradient flow know of the space, over Z/2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal, Protocol

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.status import Status
from subriem.critical.component import Component
from subriem.critical.gradientmap import ResidualMap
from subriem.critical.legs import FieldLegs
from subriem.critical.problem import RestProblem
from subriem.critical.system import Box

#: Points of each face of a box at which the motion is looked at.
LOOKS = 16


class Counted(Protocol):
    """What is asked of a component."""

    @property
    def index(self) -> int | None:
        """The Morse-Bott index."""
        ...

    @property
    def betti(self) -> tuple[int, ...] | None:
        """Betti numbers over Z/2."""
        ...


@dataclass(frozen=True)
class MorseBottCount:
    """sum t^mu P_t(component) = P_t(M) + (1 + t) Q(t), Q >= 0; made by `morse_bott_count`.

    Attributes
    ----------
    total, ambient : tuple of int
        Coefficients of the left side and of P_t(M), from t^0.
    quotient : tuple of int, or None
        Those of Q; None where the difference is no multiple of 1 + t, so that the Euler characteristics differ.
    verdict : {"perfect", "holds", "fails", "not applicable"}
        "perfect" for Q = 0, "holds" for another Q >= 0. "fails" means that the inequalities are violated: components
        are missing, or not of the index or topology told. "not applicable": nothing was counted.
    reason : str
        Why the inequalities are not applicable.

    Examples
    --------
    >>> print(MorseBottCount((2, 1), (1,), (1,), "holds"))
    2 + t = 1 + (1 + t)(1): holds
    """

    total: tuple[int, ...]
    ambient: tuple[int, ...]
    quotient: tuple[int, ...] | None
    verdict: Literal["perfect", "holds", "fails", "not applicable"]
    reason: str = ""

    def __str__(self) -> str:
        if self.verdict == "not applicable":
            return f"{self.verdict}: {self.reason}"
        left, right = _polynomial(self.total), _polynomial(self.ambient)
        if self.quotient is None:
            return f"{left} and {right} differ at t = -1: {self.verdict}"
        rest = f" + (1 + t)({_polynomial(self.quotient)})" if any(self.quotient) else ""
        return f"{left} = {right}{rest}: {self.verdict}"


def morse_bott_count(components: Sequence[Counted], ambient: Sequence[int], *, reason: str = "") -> MorseBottCount:
    """Compare the rest points of a gradient flow with the topology of the space they lie in.

    Parameters
    ----------
    components : sequence
        All families of rest points, each with `index` and `betti`.
    ambient : sequence of int
        Betti numbers over Z/2 of the compact space M; of R^n for a V that grows in all directions (1,). For a
        compact M with a boundary those of the pair (M, M^-), M^- the part of the boundary where the flow leaves.
    reason : str
        Why nothing can be counted, if this is known; else that is a component whose index varies or is not known, or
        its Betti numbers.

    Returns
    -------
    MorseBottCount

    Raises
    ------
    ProblemError
        If a Betti number of the space is no integer >= 0.

    References
    ----------
    R. Bott, Nondegenerate critical manifolds, Ann. of Math. 60 (1954) 248-261; C. Conley and E. Zehnder, Comm. Pure
    Appl. Math. 37 (1984) 207-253.

    Examples
    --------
    The height on a sphere, a maximum and a minimum:

    >>> from types import SimpleNamespace as family
    >>> print(morse_bott_count([family(index=0, betti=(1,)), family(index=2, betti=(1,))], (1, 0, 1)))
    1 + t^2 = 1 + t^2: perfect
    """
    space = list(ambient)
    if not all(isinstance(b, int) and not isinstance(b, bool) and b >= 0 for b in space):
        raise ProblemError("these are no Betti numbers", repr(ambient), "integers >= 0", "ambient=(1, 0, 1) for S^2")
    reason = reason or next(filter(None, map(_unknown, range(len(components)), components)), "")
    if reason:
        return MorseBottCount((), _trimmed(space), None, "not applicable", reason)
    total: list[int] = []
    for one in components:
        assert one.index is not None
        assert one.betti is not None
        total = [a + b for a, b in zip_longest(total, [0] * one.index + list(one.betti), fillvalue=0)]
    difference = [a - b for a, b in zip_longest(total, space, fillvalue=0)]
    quotient: list[int] = []
    for coefficient in difference:  # division by 1 + t, from t^0
        quotient.append(coefficient - (quotient[-1] if quotient else 0))
    remainder = quotient.pop() if quotient else 0
    if remainder:
        return MorseBottCount(_trimmed(total), _trimmed(space), None, "fails")
    verdict = "fails" if min(quotient, default=0) < 0 else "holds" if any(quotient) else "perfect"
    return MorseBottCount(_trimmed(total), _trimmed(space), _trimmed(quotient), verdict)


def _unknown(number: int, one: Counted) -> str:
    """Return what is not known of a component, or an empty string."""
    if one.index is None or one.index < 0:
        return f"the index of component {number} varies or is not known"
    return f"the Betti numbers of component {number} are not known" if one.betti is None else ""


def not_applicable(problem: RestProblem, components: Sequence[Component]) -> str:
    """Return why rest points say nothing by the inequalities, or an empty string."""
    if not problem.gradient:
        return "the motion is no gradient flow"
    if problem.map.n_out < problem.map.n_in or isinstance(problem.map, ResidualMap):
        return "these are not the rest points of one gradient flow alone"
    if problem.canonical is not None:
        return "rest points were counted up to the symmetries of the problem"
    for number, one in enumerate(components):
        if one.status is not Status.SUCCESS:
            return f"component {number} is not covered: {one.message}"
        if one.verdict != "morse_bott":
            return f"component {number} is no Morse-Bott manifold: {one.verdict}"
        if one.leaves_box:
            return f"component {number} leaves the box, and need not be compact"
    return ""


def leaves(problem: RestProblem, box: Box) -> str:
    """Return where the motion does not enter the box, or an empty string: looked at in random points of its faces."""
    if problem.map.n_out != problem.map.n_in or not isinstance(problem.follow, FieldLegs):
        return "the space is not the box: its Betti numbers are to be given, ambient=…"
    rng = np.random.default_rng(0)
    for i, name in enumerate(problem.names):
        for bound, outward in ((box.lower[i], -1.0), (box.upper[i], 1.0)):
            points = box.points(LOOKS, rng)
            points[:, i] = bound
            if not all(outward * problem.follow.velocity(z)[i] < 0 for z in points):
                return f"the motion does not enter the box everywhere where {name} = {bound:.6g}"
    return ""


def _trimmed(coefficients: list[int]) -> tuple[int, ...]:
    while coefficients and not coefficients[-1]:
        coefficients = coefficients[:-1]
    return tuple(coefficients)


def _polynomial(coefficients: Sequence[int]) -> str:
    powers = ["1" if i == 0 else "t" if i == 1 else f"t^{i}" for i in range(len(coefficients))]
    terms = [
        power if b == 1 else f"{b}" if power == "1" else f"{b} {power}"
        for b, power in zip(coefficients, powers, strict=True)
        if b
    ]
    return " + ".join(terms) or "0"
