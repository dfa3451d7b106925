"""Jets: symbols for the derivatives y_j^(k) of every variable, and total derivatives of expressions in them."""

from __future__ import annotations

from collections.abc import Sequence

import casadi as ca

from subriem.core.errors import ProblemError
from subriem.reduction.instructions import Instruction, instructions
from subriem.reduction.series import RULES


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
    SX(((t*(2.*(x*x')))+sq(x)))
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
        """Return the total derivative d^times/dt^times of a column or a matrix, parameters held constant.

        Raises
        ------
        ProblemError
            If an operation has no derivative here, as a call of another function.
        """
        if times == 0:
            return expression
        rows = self.derivatives(ca.vec(ca.densify(expression)), [times] * expression.numel())
        return ca.reshape(ca.vertcat(ca.SX(0, 1), *(row[times] for row in rows)), *expression.shape)

    def derivatives(self, column: ca.SX, orders: Sequence[int]) -> list[list[ca.SX]]:
        """Return of each entry i of a dense column the total derivatives of the orders 0 to orders[i].

        The cost grows with the square of the order, by the recurrences of `series`. Equal operations on results of
        the same depth are one operation on a column: so a wide system costs few operations of CasADi.

        Raises
        ------
        ProblemError
            If an operation has no derivative here, as a call of another function.
        """
        symbols = ca.symvar(column)
        function = ca.Function("f", [ca.vertcat(ca.SX(0, 1), *symbols)], [ca.cse(column)])
        program, outputs = instructions(function)
        tops = _orders_needed(program, outputs, orders)
        values = [ca.SX.zeros(len(program)) for _ in range(max(orders, default=0) + 1)]
        moving = self._seed(program, symbols, tops, values)
        for (_, code, moves), members in _groups(program, moving):
            top = max(tops[n] for n in members) if any(moves) else 0
            # of a member that needs less than its group, the higher derivatives are wrong, and nobody asks for them
            sources = [[program[n].sources[i] for n in members] for i in range(len(moves))]
            operands = [[values[k].nz[places] for k in range(top + 1)] for places in sources]
            for k, value in enumerate(RULES[code](*operands)):
                values[k].nz[members] = value
        found = [[] for _ in outputs]
        for k, value in enumerate(values):
            rows = [i for i, order in enumerate(orders) if order >= k]
            for i, entry in zip(rows, ca.vertsplit(value.nz[[outputs[i] for i in rows]]), strict=True):
                found[i].append(entry)
        return found

    def _seed(
        self, program: Sequence[Instruction], symbols: Sequence[ca.SX], tops: Sequence[int], values: Sequence[ca.SX]
    ) -> list[bool]:
        """Fill in the derivatives of constants and symbols; return which instructions depend on time."""
        moving: list[bool] = []
        for n, instruction in enumerate(program):
            moves = any(moving[source] for source in instruction.sources)
            if instruction.constant is not None:
                values[0].nz[n] = instruction.constant
            elif instruction.entry is not None:
                symbol = symbols[instruction.entry[1]]
                place, is_time = self.place(symbol), symbol.element_hash() == self.t.element_hash()
                moves = place is not None or is_time
                values[0].nz[n] = symbol
                for k in range(1, tops[n] + 1 if moves else 0):
                    values[k].nz[n] = float(k == 1) if place is None else self(place[0], place[1] + k)
            moving.append(moves)
        return moving


def _orders_needed(program: Sequence[Instruction], outputs: Sequence[int], orders: Sequence[int]) -> list[int]:
    """Return the highest derivative of each instruction that the outputs ask for."""
    tops = [0] * len(program)
    for position, order in zip(outputs, orders, strict=True):
        tops[position] = max(tops[position], order)
    for n in reversed(range(len(program))):
        for source in program[n].sources:
            tops[source] = max(tops[source], tops[n])
    return tops


def _groups(
    program: Sequence[Instruction], moving: Sequence[bool]
) -> list[tuple[tuple[int, int, tuple[bool, ...]], list[int]]]:
    """Return the operations by depth, code, and which operands depend on time, each after those it needs.

    Raises
    ------
    ProblemError
        If an operation has no rule.
    """
    depth = [0] * len(program)
    groups: dict[tuple[int, int, tuple[bool, ...]], list[int]] = {}
    for n, instruction in enumerate(program):
        if instruction.constant is not None or instruction.entry is not None:
            continue
        if instruction.code not in RULES:
            raise ProblemError(
                "an expression holds an operation without a derivative here",
                instruction.name,
                "CasADi's functions of numbers",
                "write it without; the call of a function by its expressions",
            )
        depth[n] = 1 + max(depth[source] for source in instruction.sources)
        moves = tuple(moving[source] for source in instruction.sources)
        groups.setdefault((depth[n], instruction.code, moves), []).append(n)
    return sorted(groups.items())
