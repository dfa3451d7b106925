"""The instructions of a CasADi SX function as a list of operations on the results of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

import casadi as ca

from subriem.core.errors import ProblemError

_NAMES = {getattr(ca, name): name for name in dir(ca) if name.startswith("OP_")}


@dataclass(frozen=True)
class Instruction:
    """An operation.

    Attributes
    ----------
    code : int
        casadi.OP_…
    sources : tuple of int
        Positions of the earlier instructions it takes its arguments from.
    entry : (int, int) or None
        Of OP_INPUT: which input, and which of its nonzeros.
    constant : float or None
        Of OP_CONST.
    """

    code: int
    sources: tuple[int, ...] = ()
    entry: tuple[int, int] | None = None
    constant: float | None = None

    @property
    def name(self) -> str:
        """OP_SIN, OP_MUL and so on."""
        return _NAMES.get(self.code, str(self.code))


def instructions(function: ca.Function) -> tuple[list[Instruction], list[int]]:
    """Return the instructions of an SX function, each assigned once, and where the nonzeros of its first output are.

    Parameters
    ----------
    function : casadi.Function

    Returns
    -------
    list of Instruction
        Inputs, constants and operations; CasADi's places of work are resolved.
    list of int
        Position of the instruction behind each nonzero of the first output.

    Raises
    ------
    ProblemError
        If the function is not made from SX.

    Examples
    --------
    >>> x = ca.SX.sym("x")
    >>> found, outputs = instructions(ca.Function("f", [x], [ca.sin(x) + 2]))
    >>> [entry.name for entry in found], outputs
    (['OP_INPUT', 'OP_SIN', 'OP_CONST', 'OP_ADD'], [3])
    """
    if not function.is_a("SXFunction"):
        raise ProblemError(
            f"the instructions of {function.name()} are not scalar",
            function.class_name(),
            "an SXFunction",
            "function.expand(), or build it from SX symbols",
        )
    found: list[Instruction] = []
    work: dict[int, int] = {}
    outputs: dict[int, int] = {}
    for k in range(function.n_instructions()):
        code, sources, targets = (
            function.instruction_id(k),
            function.instruction_input(k),
            function.instruction_output(k),
        )
        if code == ca.OP_OUTPUT:
            if targets[0] == 0:
                outputs[targets[1]] = work[sources[0]]
            continue
        if code == ca.OP_INPUT:
            instruction = Instruction(code, entry=(sources[0], sources[1]))
        elif code == ca.OP_CONST:
            instruction = Instruction(code, constant=function.instruction_constant(k))
        else:
            instruction = Instruction(code, tuple(work[i] for i in sources))
        work.update(dict.fromkeys(targets, len(found)))
        found.append(instruction)
    return found, [outputs[k] for k in range(len(outputs))]
