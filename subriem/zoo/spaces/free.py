"""Free nilpotent groups of any rank and step, from the Lyndon words, in coordinates of the first kind.

A point stands for the element exp(sum_w q_w [w]) of the group of the free nilpotent Lie algebra, [w] the standard
bracketing of the Lyndon word w. Everything is computed among noncommutative polynomials, where brackets are
commutators: [w] = w + larger words, so that the coordinates of a Lie element are read off its Lyndon words one after
the other (Reutenauer, Free Lie Algebras, 1993, ch. 5).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.validate import positive_integer
from subriem.geometry.brackets import Word, factors, lyndon_words
from subriem.geometry.subriemannian import SubRiemannian
from subriem.zoo.spaces.space import Space

#: Words of the full length at most.
LARGEST = 1000
#: Word -> coefficient, a number or an expression; the empty word is the unit.
Polynomial = dict[Word, Any]


class FreeAlgebra:
    """Noncommutative polynomials in letters 0 … rank - 1, words longer than the step left out.

    Attributes
    ----------
    words : tuple of Word
        Lyndon words of up to `step` letters, shorter ones first: the names of the coordinates.

    Examples
    --------
    >>> FreeAlgebra(2, 3).bracketed[(0, 0, 1)]
    {(0, 0, 1): 1, (0, 1, 0): -2, (1, 0, 0): 1}
    """

    def __init__(self, rank: int, step: int) -> None:
        self.rank, self.step = rank, step
        self.words = tuple(sorted(lyndon_words(rank, step), key=lambda word: (len(word), word)))
        self.bracketed: dict[Word, Polynomial] = {}
        for word in self.words:
            parts = [self.bracketed[part] for part in factors(word)] if len(word) > 1 else []
            self.bracketed[word] = self.commutator(*parts) if parts else {word: 1}

    def product(self, a: Polynomial, b: Polynomial) -> Polynomial:
        """Return a b."""
        found: Polynomial = {}
        for u, x in a.items():
            for v, y in b.items():
                if len(u) + len(v) <= self.step:
                    found[u + v] = found.get(u + v, 0) + x * y
        return {word: x for word, x in found.items() if not _is_zero(x)}

    def commutator(self, a: Polynomial, b: Polynomial) -> Polynomial:
        """Return a b - b a."""
        return _sum((1, self.product(a, b)), (-1, self.product(b, a)))

    def exp(self, a: Polynomial) -> Polynomial:
        """Return the sum of a^k / k!, for a without constant term."""
        found, power = {(): 1.0}, {(): 1.0}
        for k in range(1, self.step + 1):
            power = {word: x / k for word, x in self.product(power, a).items()}
            found = _sum((1, found), (1, power))
        return found

    def log(self, a: Polynomial) -> Polynomial:
        """Return the sum of (-1)^(k+1) (a - 1)^k / k, for a with constant term 1."""
        rest = {word: x for word, x in a.items() if word}
        found: Polynomial = {}
        power: Polynomial = {(): 1.0}
        for k in range(1, self.step + 1):
            power = self.product(power, rest)
            found = _sum((1, found), ((-1) ** (k + 1) / k, power))
        return found

    def element(self, q: Any) -> Polynomial:
        """Return sum_w q_w [w]."""
        return _sum(*((q[i], self.bracketed[word]) for i, word in enumerate(self.words)))

    def coordinates(self, a: Polynomial) -> list[Any]:
        """Return the q_w of a Lie element: the coefficient of w, less what smaller brackets put there."""
        found: dict[Word, Any] = {}
        for word in sorted(self.words):
            earlier = (found[w] * self.bracketed[w].get(word, 0) for w in found if len(w) == len(word))
            found[word] = a.get(word, 0) - sum(earlier)
        return [found[word] for word in self.words]

    def law(self, g: Any, h: Any) -> list[Any]:
        """Return the coordinates of exp(g) exp(h)."""
        return self.coordinates(self.log(self.product(self.exp(self.element(g)), self.exp(self.element(h)))))

    def field(self, letter: int, q: Any) -> list[Any]:
        """Return the left-invariant field of a letter e: sum_k b_k ad_q^k e / k!, Bernoulli's b_k with b_1 = 1/2."""
        point, power = self.element(q), {(letter,): 1.0}
        found: Polynomial = {}
        for share in _bernoulli_shares(self.step):
            found = _sum((1, found), (share, power))
            power = self.commutator(point, power)
        return self.coordinates(found)


def _sum(*terms: tuple[Any, Polynomial]) -> Polynomial:
    found: Polynomial = {}
    for factor, polynomial in terms:
        for word, x in polynomial.items():
            found[word] = found.get(word, 0) + factor * x
    return {word: x for word, x in found.items() if not _is_zero(x)}


def _is_zero(x: Any) -> bool:
    return x.is_zero() if isinstance(x, ca.SX) else x == 0


def _bernoulli_shares(count: int) -> list[float]:
    """Return b_k / k!, the coefficients of z / (1 - exp(-z)): their product with (1 - exp(-z)) / z is 1."""
    inverse = [(-1.0) ** k / float(np.prod(np.arange(1.0, k + 2))) for k in range(count)]
    found = [1.0]
    for k in range(1, count):
        found.append(-sum(found[i] * inverse[k - i] for i in range(k)))
    return found


def free_nilpotent(rank: int, step: int) -> Space:
    """Return the free nilpotent group of a rank and step; its dimension is Witt's.

    Parameters
    ----------
    rank, step : int
        Rank at least 2.

    Raises
    ------
    ProblemError
        If they are no such integers.

    Examples
    --------
    >>> from subriem.zoo.spaces import free_nilpotent
    >>> free_nilpotent(3, 2).structure.growth([0] * 6).vector
    (3, 6)
    """
    rank, step = positive_integer(rank, "rank"), positive_integer(step, "step")
    if rank < 2:
        raise ProblemError("one field has no brackets", f"rank {rank}", "rank >= 2", "free_nilpotent(2, 3)")
    if rank**step > LARGEST:
        raise ProblemError("the free group is too large", f"{rank}^{step} words", f"at most {LARGEST}", "fewer steps")
    algebra = FreeAlgebra(rank, step)
    weights = tuple(len(word) for word in algebra.words)
    growth = tuple(sum(weight <= s for weight in weights) for s in range(1, step + 1))
    size = len(weights)
    title = f"free nilpotent group of rank {rank} and step {step}"
    return Space(
        name=f"free-{rank}-{step}",
        title=title,
        source="Reutenauer, Free Lie Algebras (1993); growth by Witt's formula",
        structure=SubRiemannian.from_frame(
            lambda q: [[ca.SX(x) for x in algebra.field(letter, q)] for letter in range(rank)],
            size,
            coordinates=["q" + "".join(str(letter + 1) for letter in word) for word in algebra.words],
            name=title,
        ),
        points={"origin": np.zeros(size), "elsewhere": 0.3 * np.cos(np.arange(size))},
        growth={"origin": growth, "elsewhere": growth},
        translate=algebra.law,
        inverse=np.negative,
        weights=weights,
    )


MAKERS: dict[str, Callable[[], Space]] = {
    f"free-{rank}-{step}": partial(free_nilpotent, rank, step)
    for rank, step in ((2, 3), (2, 4), (3, 2), (3, 3), (3, 4))
}
