"""The Morse-Bott inequalities: what the rest points of a gradient flow know of the space, over Z/2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

from subriem.core.errors import EquilibriumError, ProblemError


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
    verdict : {"perfect", "holds", "fails"}
        "perfect" for Q = 0. "fails" means that components are missing, or not of the index or topology told.

    Examples
    --------
    >>> print(MorseBottCount((2, 1), (1,), (1,), "holds"))
    2 + t = 1 + (1 + t)(1): holds
    """

    total: tuple[int, ...]
    ambient: tuple[int, ...]
    quotient: tuple[int, ...] | None
    verdict: str

    def __str__(self) -> str:
        left, right = _polynomial(self.total), _polynomial(self.ambient)
        if self.quotient is None:
            return f"{left} and {right} differ at t = -1: {self.verdict}"
        rest = f" + (1 + t)({_polynomial(self.quotient)})" if any(self.quotient) else ""
        return f"{left} = {right}{rest}: {self.verdict}"


def morse_bott_count(components: Sequence[Counted], ambient: Sequence[int]) -> MorseBottCount:
    """Compare the rest points of a gradient flow with the topology of the space they lie in.

    Parameters
    ----------
    components : sequence
        All families of rest points, each with `index` and `betti`.
    ambient : sequence of int
        Betti numbers over Z/2 of the compact space M; of R^n for a V that grows in all directions (1,). For a
        compact M with a boundary those of the pair (M, M^-), M^- the part of the boundary where the flow leaves.

    Returns
    -------
    MorseBottCount

    Raises
    ------
    EquilibriumError
        If an index varies or Betti numbers are not known.
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
    total: list[int] = []
    for i, one in enumerate(components):
        if one.index is None or one.index < 0 or one.betti is None:
            raise EquilibriumError(
                "the rest points cannot be counted",
                f"component {i}: index {one.index}, Betti numbers {one.betti}",
                "an index, the same on the family, and Betti numbers on which two reaches agree",
                "a smaller spacing of charts, or Betti numbers known otherwise",
            )
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
