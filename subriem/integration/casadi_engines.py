"""CasADi's integrators for the semi-explicit face of a reduction: rosenbrock and SUNDIALS' idas."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.integration.compiled import CompilationError, compile_function
from subriem.integration.integrator import NODES, Engine, Integrator, Options, Piece, grid
from subriem.integration.system import System
from subriem.reduction.casadi_errors import failure_sentence, muted

#: Seconds a call may take about; nothing can end it before.
PATIENCE = 2.0
#: Steps between two nodes, least and most: of a stretch, of a leg in one call, and of one without nodes between. Where
#: more are needed it is taken in parts.
STEPS, LEAP, SHOT = (20, 500), (1000, 5000), (10_000, 300_000)
NOT_ENOUGH = "one call of the engine was not enough"
#: Seconds of a step without its arithmetic, and of one operation, in CasADi's virtual machine.
OVERHEAD, OPERATION = 1.5e-5, 7e-9
#: Evaluations in a step: eight stages, and the Jacobian for about three.
EVALUATIONS = 11
_COUNTS = {"n_steps": "steps", "n_reject": "rejected", "n_rhs": "evaluations", "n_jac": "jacobians"}
_IDAS_COUNTS = {"nsteps": "steps", "netfails": "rejected", "nfevals": "evaluations", "nlinsetups": "jacobians"}


class CasadiEngine(Engine):
    """An integrator of CasADi in the scaled time tau of [0, 1], so that it is built once for all stretches.

    Parameters
    ----------
    plugin : str
    settings : dict
        Of the plugin, but for what follows.
    forced : dict
        What makes it step to every node.
    system : System
    options : Options
    """

    def __init__(
        self, plugin: str, settings: dict[str, Any], forced: dict[str, Any], system: System, options: Options
    ) -> None:
        rates = system.rates
        symbols: Any = ca.SX if rates.is_a("SXFunction") else ca.MX
        t, x, a, q = (symbols.sym(name, rates.numel_in(i)) for i, name in enumerate("txaq"))
        # without states the engine follows the time alone, and the unknowns beside it
        self._idle = not x.numel()
        clock = symbols.sym("clock", int(self._idle))
        tau, start, length = symbols.sym("tau"), symbols.sym("start"), symbols.sym("length")
        ode = ca.vertcat(length * rates(t, x, a, q), length * symbols.ones(clock.numel()))
        (both,) = ca.substitute([ca.vertcat(ode, system.algebraic(t, x, a, q))], [t], [start + tau * length])
        ode, alg = ca.vertsplit(ca.cse(both), [0, ode.numel(), both.numel()])
        self._problem = {
            "x": ca.vertcat(x, clock),
            "z": a,
            "t": tau,
            "p": ca.vertcat(start, length, q),
            "ode": ode,
            "alg": alg,
        }
        self._plugin, self._settings, self._forced = plugin, settings, forced
        self._symbolic = symbols is ca.SX
        self._jit = options.jit and self._symbolic
        self.notes: dict[str, Any] = {}
        if options.jit and not self._symbolic:
            self.notes["jit"] = "not compiled: the equations are a NumPy function"

    def advance(self, t0: float, t1: float, x: Array, a: Array, q: Array, patient: bool = False) -> Piece:
        """Integrate from t0 to t1; a failure says so and gives the start alone."""
        return self._move(self._patient if patient else self._stepping, grid(t0, t1), x, a, q, explain=not patient)

    def leap(self, t0: float, t1: float, x: Array, a: Array, q: Array, looks: bool = True) -> Piece:
        """Integrate from t0 to t1 in steps of the engine's own, the nodes between from its dense output."""
        if looks:
            return self._move(self._looking, grid(t0, t1), x, a, q)
        return self._move(self._shooting, np.array([t0, t1]), x, a, q)

    @cached_property
    def _stepping(self) -> _Buffered:
        return self._built(NODES, STEPS, self._forced)

    @cached_property
    def _patient(self) -> _Buffered:
        return self._built(NODES, LEAP, self._forced)

    @cached_property
    def _looking(self) -> _Buffered:
        return self._built(NODES, LEAP, {})

    @cached_property
    def _shooting(self) -> _Buffered:
        return self._built(1, SHOT, {})

    def _built(self, intervals: int, steps: tuple[int, int], more: dict[str, Any]) -> _Buffered:
        limit = steps[1]
        if self._symbolic:
            limit = int(np.clip(PATIENCE / (intervals * _step_seconds(self._problem)), *steps))
        settings = self._settings | more | {"max_num_steps": limit}
        times = list(np.linspace(0, 1, intervals + 1)[1:])
        function = ca.integrator("integrate", self._plugin, self._problem, 0, times, settings)
        if self._jit:
            try:
                function, self.notes["jit"] = compile_function(function)
            except CompilationError as error:
                self.notes["jit"] = f"not compiled: {error}"
        return _Buffered(function, intervals)

    def _move(self, function: _Buffered, times: Array, x: Array, a: Array, q: Array, explain: bool = False) -> Piece:
        start = times[:1] if self._idle else x
        data = np.concatenate([[times[0], times[-1] - times[0]], q])
        states, unknowns = np.empty((times.size, x.size)), np.empty((times.size, a.size))
        states[0], unknowns[0] = x, a
        with muted():
            found = function(start, a, data)
            if found is None:
                failure = function.failure(start, a, data) if explain else NOT_ENOUGH
                return Piece(times[:1], x[None], a[None], failure, stats=self._stats(function))
        states[1:], unknowns[1:] = found[0][:, : x.size], found[1]
        if np.isfinite(states).all() and np.isfinite(unknowns).all():
            return Piece(times, states, unknowns, stats=self._stats(function))
        return Piece(times[:1], x[None], a[None], "a value was not finite", stats=self._stats(function))

    def _stats(self, function: _Buffered) -> dict[str, int]:
        if "jit" in self.notes and not self.notes["jit"].startswith("not"):
            return {}  # compiled code does not count
        stats = function.stats()
        return {name: int(stats[key]) for key, name in (_COUNTS | _IDAS_COUNTS).items() if key in stats}


class _Buffered:
    """An integrator called on buffers: a call through DM takes as long as several steps."""

    def __init__(self, function: ca.Function, intervals: int) -> None:
        self.function = function
        self._lock = Lock()
        self._buffer, self._evaluate = function.buffer()
        self._inputs = [np.zeros(function.numel_in(i)) for i in range(3)]  # x0, z0, p
        self._outputs = [np.zeros((intervals, function.size1_out(i))) for i in range(2)]  # xf, zf
        # CasADi's columns are our rows; its stub wants a third argument, which the run time refuses
        for i, array in enumerate(self._inputs):
            self._buffer.set_arg(i, array.data)  # pyright: ignore[reportCallIssue]
        for i, array in enumerate(self._outputs):
            self._buffer.set_res(i, array.data)  # pyright: ignore[reportCallIssue]

    def __call__(self, x: Array, a: Array, p: Array) -> list[Array] | None:
        """Return states and unknowns at the nodes after the first, or None if that failed."""
        with self._lock:
            for slot, argument in zip(self._inputs, (x, a, p), strict=True):
                slot[:] = argument
            try:
                self._evaluate()
            except RuntimeError:  # SUNDIALS; others leave a code only
                return None
            return None if self._buffer.ret() else [array.copy() for array in self._outputs]

    def stats(self) -> dict[str, Any]:
        """Return CasADi's counts of the last call."""
        return self._buffer.stats()

    def failure(self, x: Array, a: Array, p: Array) -> str:
        """Return why a call failed: only one through DM says."""
        try:
            self.function(x0=x, z0=a, p=p)
        except RuntimeError as error:
            return failure_sentence(error)
        return "it failed, but not a second time"


def _step_seconds(problem: dict[str, Any]) -> float:
    """Return about how long a step takes, from the arithmetic in it: evaluations and one sparse QR factorization."""
    value, unknowns = ca.vertcat(problem["ode"], problem["alg"]), ca.vertcat(problem["x"], problem["z"])
    count = ca.Function("count", [problem["t"], unknowns, problem["p"]], [value]).n_instructions()
    pattern = ca.jacobian_sparsity(value, unknowns) + ca.Sparsity.diag(unknowns.numel())
    reflectors, triangle, _, _ = pattern.qr_sparse()
    factorization = reflectors.nnz() * triangle.nnz() / max(unknowns.numel(), 1)
    return OVERHEAD + OPERATION * (EVALUATIONS * count + factorization)


class Rosenbrock(Integrator):
    """CasADi's L-stable Rosenbrock-Wanner method of order 5(4): the default."""

    name = "rosenbrock"

    def refuses(self, system: System) -> str | None:
        """Return why not, or None."""
        return None

    def prepare(self, system: System, options: Options) -> Engine:
        """Set it up; on a stretch it steps to every node: in a transient its dense output is less exact."""
        settings = {
            "abstol": options.atol,
            "reltol": options.rtol,
            "min_step_size": 1e-300,
            "print_stats": False,
        }
        return CasadiEngine("rosenbrock", settings, {"control_group_size": [1] * NODES}, system, options)


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
            "calc_ic": False,
            "first_time": 1e-4,
            "verbose": False,
        }
        return CasadiEngine("idas", settings, {}, system, options)
