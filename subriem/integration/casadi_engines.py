"""CasADi's integrators for the semi-explicit face of a reduction: rosenbrock and SUNDIALS' idas."""

from __future__ import annotations

from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.integration.compiled import CompilationError, compile_function
from subriem.integration.integrator import NODES, Engine, Integrator, Options, Piece, grid
from subriem.integration.system import System
from subriem.reduction.casadi_errors import failure_sentence, muted

#: Steps an engine may take between two nodes: a stretch that needs more is taken in shorter ones.
STEPS = 500
_COUNTS = {"n_steps": "steps", "n_reject": "rejected", "n_rhs": "evaluations", "n_jac": "jacobians"}
_IDAS_COUNTS = {"nsteps": "steps", "netfails": "rejected", "nfevals": "evaluations", "nlinsetups": "jacobians"}


class CasadiEngine(Engine):
    """An integrator of CasADi in the scaled time tau of [0, 1], so that it is built once for all stretches."""

    def __init__(self, plugin: str, settings: dict[str, Any], system: System, options: Options) -> None:
        rates = system.rates
        symbols: Any = ca.SX if rates.is_a("SXFunction") else ca.MX
        t, x, a, q = (symbols.sym(name, rates.numel_in(i)) for i, name in enumerate("txaq"))
        # without states the engine follows the time alone, and the unknowns beside it
        self._idle = not x.numel()
        clock = symbols.sym("clock", int(self._idle))
        tau, start, length = symbols.sym("tau"), symbols.sym("start"), symbols.sym("length")
        ode = ca.vertcat(rates(t, x, a, q), symbols.ones(clock.numel()))
        ode, alg = ca.substitute([ode, system.algebraic(t, x, a, q)], [t], [start + tau * length])
        problem = {
            "x": ca.vertcat(x, clock),
            "z": a,
            "t": tau,
            "p": ca.vertcat(start, length, q),
            "ode": ca.cse(length * ode),
            "alg": alg,
        }
        times = list(np.linspace(0, 1, NODES + 1)[1:])
        self._function = ca.integrator("integrate", plugin, problem, 0, times, settings)
        self.notes: dict[str, Any] = {}
        if options.jit and symbols is ca.MX:
            self.notes["jit"] = "not compiled: the equations are a NumPy function"
        elif options.jit:
            try:
                self._function, self.notes["jit"] = compile_function(self._function)
            except CompilationError as error:
                self.notes["jit"] = f"not compiled: {error}"

    def advance(self, t0: float, t1: float, x: Array, a: Array, q: Array) -> Piece:
        """Integrate from t0 to t1; a failure says so and gives the start alone."""
        times = grid(t0, t1)
        start = [t0] if self._idle else x
        with muted():
            try:
                found = self._function(x0=start, z0=a, p=np.concatenate([[t0, t1 - t0], q]))
            except RuntimeError as error:
                return Piece(times[:1], x[None, :], a[None, :], failure_sentence(error))
        states, unknowns = (
            np.reshape(found[key].nonzeros(), (NODES, size)) for key, size in (("xf", len(start)), ("zf", a.size))
        )
        states = np.vstack([x, states[:, : x.size]])
        unknowns = np.vstack([a, unknowns])
        finite = np.isfinite(states).all(axis=1) & np.isfinite(unknowns).all(axis=1)
        if finite.all():
            return Piece(times, states, unknowns, stats=self._stats())
        return Piece(times[:1], x[None, :], a[None, :], "a value was not finite", stats=self._stats())

    def _stats(self) -> dict[str, int]:
        if "jit" in self.notes and not self.notes["jit"].startswith("not"):
            return {}  # compiled code does not count
        stats = self._function.stats()
        return {name: int(stats[key]) for key, name in (_COUNTS | _IDAS_COUNTS).items() if key in stats}


class Rosenbrock(Integrator):
    """CasADi's L-stable Rosenbrock-Wanner method of order 5(4): the default."""

    name = "rosenbrock"

    def refuses(self, system: System) -> str | None:
        """Return why not, or None."""
        return None

    def prepare(self, system: System, options: Options) -> Engine:
        """Set it up with a step to every node: its dense output is less exact where the system is stiff."""
        settings = {
            "abstol": options.atol,
            "reltol": options.rtol,
            "control_group_size": [1] * NODES,
            "max_num_steps": STEPS,
            "min_step_size": 1e-300,
            "print_stats": False,
        }
        return CasadiEngine("rosenbrock", settings, system, options)


class Idas(Integrator):
    """SUNDIALS' variable-order BDF: many short restarts cost it more than a one-step method."""

    name = "idas"

    def refuses(self, system: System) -> str | None:
        """Return why not, or None."""
        return None

    def prepare(self, system: System, options: Options) -> Engine:
        """Set it up; its start is consistent already, so that IDACalcIC has nothing to do."""
        settings = {
            "abstol": options.atol,
            "reltol": options.rtol,
            "max_num_steps": STEPS,
            "calc_ic": False,
            "first_time": 1e-4,
            "verbose": False,
        }
        return CasadiEngine("idas", settings, system, options)
