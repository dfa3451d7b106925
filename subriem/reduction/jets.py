"""Jets: symbols for the derivatives y_j^(k) of every variable, and total derivatives of expressions in them."""

from __future__ import annotations

from collections.abc import Sequence

import casadi as ca


def jet_name(variable: str, order: int) -> str:
    """Return the name of a derivative: x, x', x'', x''', then x^(4) and so on.

    Examples
    --------
    >>> jet_name("x", 2), jet_name("theta[3]", 4)
    ("x''", 'theta[3]^(4)')
    """
    return variable + "'" * order if order <= 3 else f"{variable}^({order})"


class Jets:
    """The independent variable t and the symbols y_j^(k) of scalar variables, made on demand.

    Parameters
    ----------
    names : sequence of str
        Names of the scalar variables y_j.

    Examples
    --------
    >>> jets = Jets(["x"])
    >>> jets.derivative(jets.t * jets(0) ** 2, 1)
    SX((sq(x)+(t*((2.*x)*x'))))
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.t = ca.SX.sym("t")
        self._symbols: list[list[ca.SX]] = [[] for _ in self.names]
        self._place: dict[int, tuple[int, int]] = {}

    def __call__(self, j: int, order: int = 0) -> ca.SX:
        """Return the symbol y_j^(order)."""
        known = self._symbols[j]
        while len(known) <= order:
            symbol = ca.SX.sym(jet_name(self.names[j], len(known)))
            self._place[symbol.element_hash()] = (j, len(known))
            known.append(symbol)
        return known[order]

    def stack(self, places: Sequence[tuple[int, int]]) -> ca.SX:
        """Return the column of the symbols y_j^(k) at the places (j, k)."""
        return ca.vertcat(*(self(j, k) for j, k in places)) if places else ca.SX(0, 1)

    def place(self, symbol: ca.SX) -> tuple[int, int] | None:
        """Return (j, k) for a symbol y_j^(k), None for any other symbol."""
        return self._place.get(symbol.element_hash())

    def places(self, expression: ca.SX) -> list[tuple[int, int]]:
        """Return the sorted places (j, k) of the jets an expression contains."""
        found = (self.place(symbol) for symbol in ca.symvar(expression))
        return sorted(place for place in found if place is not None)

    def derivative(self, expression: ca.SX, times: int = 1) -> ca.SX:
        """Return the total derivative d^times/dt^times of a column, parameters held constant.

        Only the symbols the expression contains are seeded, and common subexpressions are merged after each
        differentiation: both keep the size near-linear.
        """
        for _ in range(times):
            expression = self._once(expression)
        return expression

    def _once(self, expression: ca.SX) -> ca.SX:
        symbols, seeds = [], []
        for symbol in ca.symvar(expression):
            place = self.place(symbol)
            if place is not None:
                symbols.append(symbol)
                seeds.append(self(place[0], place[1] + 1))
            elif symbol.element_hash() == self.t.element_hash():
                symbols.append(symbol)
                seeds.append(ca.SX(1))
        if not symbols:
            return ca.SX.zeros(*expression.shape)
        return ca.cse(ca.densify(ca.jtimes(expression, ca.vertcat(*symbols), ca.vertcat(*seeds))))
