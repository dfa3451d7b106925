"""Compilation of z' = f(t, z, p) by heyoka, once per function, and the loan of compiled integrators to runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.integration.translation import Expression, heyoka, translate

#: Functions with more instructions are compiled in heyoka's compact mode: the time of compilation is then linear in
#: their number (seconds instead of minutes), for a run that is at most twice as long.
COMPACT = 50
#: Compiled integrators kept in memory.
KEPT = 64

#: The events that are compiled with a function: serialized (t, z, p) -> scalar, direction, whether terminal.
EventKey = tuple[tuple[str, int, bool], ...]
#: Number and time of a non-terminal event.
Hit = tuple[int, float]
#: Where the callbacks of heyoka leave the hits of the run of their thread.
_hits: ContextVar[list[Hit]] = ContextVar("hits")


@dataclass(frozen=True, eq=False)
class Loan:
    """A heyoka integrator in the hands of one run.

    Attributes
    ----------
    integrator : heyoka.taylor_adaptive
    hits : list of Hit
        Where the non-terminal events of this run are noted.
    switches : heyoka.cfunc or None
        (t, z, p, branches) -> the arguments of the branches.
    n_switches : int
    """

    integrator: Any
    hits: list[Hit]
    switches: Any
    n_switches: int

    def settle(self) -> None:
        """Set the branches as they are here, but for those that just changed: their arguments are zero to roundoff.

        Of branches that change at the same time heyoka reports one; roundoff may have carried others across already.
        """
        integrator = self.integrator
        first = len(integrator.pars) - self.n_switches
        for k in range(self.n_switches):  # an argument may contain branches before it
            if integrator.te_cooldowns[k - self.n_switches] is None:
                arguments = self.switches(np.concatenate([[integrator.time], integrator.state, integrator.pars]))
                integrator.pars[first + k] = float(arguments[k] > 0)


class Compiled:
    """A compiled integrator, lent to one run at a time; a second run at the same time gets a copy.

    Attributes
    ----------
    order : int
    compact, branches : bool
    """

    def __init__(self, original: Any, switches: Any, n_switches: int, compact: bool) -> None:
        self._original, self._idle = original, [original]
        self._switches, self._n_switches = switches, n_switches
        self.branches = bool(n_switches)
        self.compact, self.order = compact, int(original.order)

    @contextmanager
    def lend(self, t: float, z: Array, p: Array) -> Iterator[Loan]:
        """Give an integrator at (t, z), with the branches as they are there."""
        hits: list[Hit] = []
        token = _hits.set(hits)
        try:
            integrator = self._idle.pop()
        except IndexError:
            integrator = copy.copy(self._original)
        try:
            loan = Loan(integrator, hits, self._switches, self._n_switches)
            integrator.time = t
            integrator.state[:] = z
            integrator.pars[: p.size] = p[: len(integrator.pars)]  # heyoka leaves out what the field does not hold
            if integrator.with_events:
                integrator.reset_cooldowns()
            loan.settle()
            yield loan
        finally:
            _hits.reset(token)
            self._idle.append(integrator)


@dataclass(frozen=True)
class _Toggle:
    """Sets a branch parameter when its argument has changed sign; the run goes on."""

    place: int

    def __call__(self, integrator: Any, sign: int) -> bool:
        if sign:
            integrator.pars[self.place] = float(sign > 0)
        return True


@dataclass(frozen=True)
class _Record:
    """Notes when a non-terminal event occurs; the path does not feel it."""

    number: int

    def __call__(self, integrator: Any, time: float, sign: int) -> None:
        _hits.get().append((self.number, time))


class _Branches:
    """Stands a symbol for each branch, and keeps the arguments whose signs decide."""

    def __init__(self, symbol: Callable[[int], Expression]) -> None:
        self.symbol, self.arguments = symbol, []

    def __call__(self, argument: Expression) -> Expression:
        if argument not in self.arguments:
            self.arguments.append(argument)
        return self.symbol(self.arguments.index(argument))


def _declare(serialized: str) -> tuple[ca.Function, list[Expression], list[list[Expression]]]:
    """Return the function, the symbols of the state, and those of (t, z, p)."""
    hy = heyoka()
    function = ca.Function.deserialize(serialized)
    state = [hy.expression(f"z{i}") for i in range(function.numel_in(1))]
    return function, state, [[hy.time], state, [hy.par[i] for i in range(function.numel_in(2))]]


@lru_cache(maxsize=KEPT)
def compile_path(serialized: str, events: EventKey, tolerance: float) -> Compiled:
    """Compile z' = f(t, z, p) with its events.

    A branch of f (|x|, min, if_else) is a parameter worth 0 or 1 that an event of its own sets where its argument
    changes sign: so f is analytic on each step, and a step ends at the kink.
    """
    hy = heyoka()
    hy.set_logger_level_error()  # it prints its warnings, such as that of a double zero of an event
    function, state, inputs = _declare(serialized)
    first = function.numel_in(2)
    branches = _Branches(lambda k: hy.par[first + k])
    rates = translate(function, inputs, branches)
    directions = {-1: hy.event_direction.negative, 0: hy.event_direction.any, 1: hy.event_direction.positive}
    watched, noted = [], []
    for text, direction, terminal in events:
        (value,) = translate(ca.Function.deserialize(text), inputs, refuse_branch)
        if terminal:
            watched.append(hy.t_event(value, direction=directions[direction]))
        else:
            noted.append(hy.nt_event(value, _Record(len(noted)), direction=directions[direction]))
    watched += [hy.t_event(s, callback=_Toggle(first + k)) for k, s in enumerate(branches.arguments)]
    compact = function.n_instructions() > COMPACT
    integrator = hy.taylor_adaptive(
        list(zip(state, rates, strict=True)),
        [0.0] * len(state),
        tol=tolerance,
        high_accuracy=True,  # compensated sums: no slower, and less drift
        compact_mode=compact,
        t_events=watched,
        nt_events=noted,
    )
    switches = _compile_switches(function) if branches.arguments else None
    return Compiled(integrator, switches, len(branches.arguments), compact)


def _compile_switches(function: ca.Function) -> Any:
    """Compile (t, z, p, branches) -> the arguments of the branches."""
    hy = heyoka()
    symbols = [[hy.expression(f"{name}{k}") for k in range(function.numel_in(i))] for i, name in enumerate("tzp")]
    branches = _Branches(lambda k: hy.expression(f"b{k}"))
    translate(function, symbols, branches)
    chosen = [hy.expression(f"b{k}") for k in range(len(branches.arguments))]
    return hy.cfunc(branches.arguments, [*symbols[0], *symbols[1], *symbols[2], *chosen])


@lru_cache(maxsize=KEPT)
def compile_batch(serialized: str, tolerance: float) -> Any:
    """Compile z' = f(t, z, p) for as many trajectories at once as the processor treats in one instruction."""
    hy = heyoka()
    function, state, inputs = _declare(serialized)
    lanes = hy.recommended_simd_size()
    return hy.taylor_adaptive_batch(
        list(zip(state, translate(function, inputs, refuse_branch), strict=True)),
        np.zeros((len(state), lanes)),
        tol=tolerance,
        high_accuracy=True,
        compact_mode=function.n_instructions() > COMPACT,
    )


def refuse_branch(argument: Expression) -> Expression:
    """Refuse a branch where no event can follow it."""
    raise ProblemError(
        "|x|, min, max, sign, comparisons and if_else are not smooth",
        f"a branch on the sign of {str(argument)[:80]}",
        "smooth functions in events and batches",
        "an Event with a Python function, or run trajectories one by one",
    )
