"""Iterated Lie brackets [A, B] = DB.A - DA.B of the fields of a frame, over the Lyndon words (a Hall basis)."""

from __future__ import annotations

from collections.abc import Iterator

import casadi as ca

from subriem.core.casadi_map import BufferedFunction

#: A word (i, j, …) in the numbers of the fields.
Word = tuple[int, ...]


def lyndon_words(letters: int, length: int) -> Iterator[Word]:
    """Yield the words of at most this length that come before all their rotations, in lexical order.

    The standard bracketing of Lyndon words is a Hall basis of the free Lie algebra.

    Examples
    --------
    >>> list(lyndon_words(2, 3))
    [(0,), (0, 0, 1), (0, 1), (0, 1, 1), (1,)]
    """
    word = [-1]
    while word:  # Duval's algorithm
        word[-1] += 1
        yield tuple(word)
        period = len(word)
        while len(word) < length:
            word.append(word[-period])
        while word and word[-1] == letters - 1:
            word.pop()


def factors(word: Word) -> tuple[Word, Word]:
    """Return the standard factorization (u, v) of a Lyndon word, v its longest proper Lyndon suffix: [u, v].

    Examples
    --------
    >>> factors((0, 0, 1))
    ((0,), (0, 1))
    """
    cut = next(i for i in range(1, len(word)) if _is_lyndon(word[i:]))
    return word[:cut], word[cut:]


def _is_lyndon(word: Word) -> bool:
    return all(word < word[i:] for i in range(1, len(word)))


def bracket_name(word: Word) -> str:
    """Return the bracket of a word as text, such as [X1, [X1, X2]]."""
    if len(word) == 1:
        return f"X{word[0] + 1}"
    return "[{}, {}]".format(*(bracket_name(part) for part in factors(word)))


def lie_bracket(a: ca.SX, b: ca.SX, q: ca.SX) -> ca.SX:
    """Return [A, B] = DB.A - DA.B for columns A(q), B(q)."""
    return ca.jtimes(b, q, a) - ca.jtimes(a, q, b)


class Brackets:
    """The brackets of a frame, layer by layer; a layer is derived when it is first asked for.

    Parameters
    ----------
    frame : casadi.Function
        q -> X(q), shape (N, k).
    letters : tuple of int, optional
        The fields taken, increasing; all of them unless given.
    """

    def __init__(self, frame: ca.Function, letters: tuple[int, ...] | None = None) -> None:
        self.frame = frame
        self.letters = tuple(range(frame.size2_out(0))) if letters is None else letters
        self.q = ca.SX.sym("q", frame.numel_in(0))
        columns = ca.horzsplit(ca.cse(frame(self.q)))
        self.fields: dict[Word, ca.SX] = {(i,): columns[i] for i in self.letters}
        self._layers: dict[int, tuple[tuple[Word, ...], BufferedFunction | None]] = {}

    def __getstate__(self) -> tuple[ca.Function, tuple[int, ...]]:
        return self.frame, self.letters

    def __setstate__(self, state: tuple[ca.Function, tuple[int, ...]]) -> None:
        self.__init__(*state)

    def count(self, step: int) -> int:
        """Return how many words of a length there are at most."""
        return -(-(len(self.letters) ** step) // step)

    def layer(self, step: int) -> tuple[tuple[Word, ...], BufferedFunction | None]:
        """Return the words of a length whose brackets do not vanish formally, and q -> their columns (N, count).

        The function also gives, below the brackets, the sizes |DB.A| + |DA.B| of what was subtracted: (2 N, count).
        """
        if step not in self._layers:
            for shorter in range(2, step):
                self.layer(shorter)
            self._layers[step] = self._derived(step)
        return self._layers[step]

    def _derived(self, step: int) -> tuple[tuple[Word, ...], BufferedFunction | None]:
        words, columns, sizes = [], [], []
        for places in lyndon_words(len(self.letters), step):
            word = tuple(self.letters[i] for i in places)
            if len(word) < step:
                continue
            if step == 1:
                first, second = self.fields[word], ca.SX.zeros(self.q.numel())
            else:
                u, v = factors(word)
                if u not in self.fields or v not in self.fields:
                    continue  # a bracket with zero
                first = ca.jtimes(self.fields[v], self.q, self.fields[u])
                second = ca.jtimes(self.fields[u], self.q, self.fields[v])
            column = ca.sparsify(first - second)
            if not column.nnz():
                continue
            words.append(word)
            columns.append(column)
            sizes.append(ca.fabs(first) + ca.fabs(second))
        if not words:
            return (), None
        shared = ca.cse(ca.vertcat(ca.horzcat(*columns), ca.horzcat(*sizes)))
        top = shared[: self.q.numel(), :]
        self.fields.update(zip(words, ca.horzsplit(top), strict=True))
        return tuple(words), BufferedFunction(ca.Function("layer", [self.q], [ca.densify(shared)]))
