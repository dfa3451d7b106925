"""CasADi's integrators for the semi-explicit face of a reduction: rosenbrock and SUNDIALS' idas."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.protocols import Array
from subriem.integration.integrator import Engine, Integrator, Options, Piece, grid
from subriem.reduction.casadi_errors import captured_stderr, failure_sentence
from subriem.reduction.reduction import Reduction

#: Steps an engine may take between two nodes.
STEPS = 20_000


class CasadiEngine(Engine):
    """An integrator of CasADi in the scaled time tau of [0, 1], so that it is built once for all stretches."""

    def __init__(
        self,
        plugin: str,
        settings: dict[str, Any],
        reduction: Reduction,
        quadratures: ca.Function | None,
        options: Options,
    ) -> None:
        faces = reduction.stabilised(options.pole)
        t, z, a, q = (ca.SX.sym(n, faces.ode.numel_in(i)) for i, n in enumerate(("t", "z", "a", "q")))
        self.states, self.nodes = z.numel(), options.nodes
        rates = [faces.ode(t, z, a, q)]
        extra = ca.SX(0, 1)
        if quadratures is not None:
            rates.append(quadratures(t, z, faces.tops(t, z, a, q), q))
            extra = ca.SX.sym("w", quadratures.numel_out(0))
        tau, start, length = ca.SX.sym("tau"), ca.SX.sym("start"), ca.SX.sym("length")
        scaled = [start + tau * length]
        ode, alg = ca.substitute([ca.vertcat(*rates), faces.algebraic(t, z, a, q)], [t], scaled)
        problem = {
            "x": ca.vertcat(z, extra),
            "z": a,
            "t": tau,
            "p": ca.vertcat(start, length, q),
            "ode": ca.cse(length * ode),
            "alg": alg,
        }
        self._function = _built(plugin, problem, list(np.linspace(0, 1, self.nodes + 1)[1:]), settings, options.jit)

    def advance(self, t0: float, t1: float, z: Array, a: Array, q: Array) -> Piece:
        """Integrate from t0 to t1; a failure says so and gives the start alone."""
        times = grid(t0, t1, self.nodes)
        with captured_stderr() as noise:
            try:
                found = self._function(x0=z, z0=a, p=np.concatenate([[t0, t1 - t0], q]))
            except RuntimeError as error:
                return Piece(times[:1], z[None, :], a[None, :], failure_sentence(error, noise.text()))
        states = np.vstack([z, np.asarray(found["xf"]).T])
        unknowns = np.vstack([a, np.asarray(found["zf"]).T.reshape((self.nodes, -1))])
        stats = {key: value for key, value in self._function.stats().items() if key.startswith("n_")}
        finite = np.isfinite(states).all(axis=1) & np.isfinite(unknowns).all(axis=1)
        if finite.all():
            return Piece(times, states, unknowns, "", stats)
        last = int(np.argmin(finite))
        return Piece(times[:last], states[:last], unknowns[:last], "a value was not finite", stats)


def _built(
    plugin: str, problem: dict[str, ca.SX], times: list[float], settings: dict[str, Any], jit: bool
) -> ca.Function:
    if not jit:
        return ca.integrator("integrate", plugin, problem, 0, times, settings)
    # CasADi compiles in the current folder
    folder, here = tempfile.mkdtemp(prefix="subriem-"), os.getcwd()
    compiled = {**settings, "jit": True, "compiler": "shell", "jit_options": {"compiler": "gcc", "flags": ["-O2"]}}
    try:
        os.chdir(folder)
        return ca.integrator("integrate", plugin, problem, 0, times, compiled)
    finally:
        os.chdir(here)
        shutil.rmtree(folder, ignore_errors=True)


class Rosenbrock(Integrator):
    """CasADi's L-stable Rosenbrock-Wanner method of order 5(4): the default."""

    name = "rosenbrock"

    def refuses(self, reduction: Reduction) -> str | None:
        """Return why not, or None."""
        return _without_states(reduction)

    def prepare(self, reduction: Reduction, quadratures: ca.Function | None, options: Options) -> Engine:
        """Set it up; the outputs are interpolated by its dense output, so the grid does not limit the steps."""
        settings = {
            "abstol": options.atol,
            "reltol": options.rtol,
            "control_group_size": [options.nodes],
            "max_num_steps": STEPS,
            "min_step_size": 1e-300,
            "print_stats": False,
        }
        return CasadiEngine("rosenbrock", settings, reduction, quadratures, options)


class Idas(Integrator):
    """SUNDIALS' variable-order BDF."""

    name = "idas"

    def refuses(self, reduction: Reduction) -> str | None:
        """Return why not, or None."""
        return _without_states(reduction)

    def prepare(self, reduction: Reduction, quadratures: ca.Function | None, options: Options) -> Engine:
        """Set it up; its start is consistent already, so that IDACalcIC has nothing to do."""
        settings = {
            "abstol": options.atol,
            "reltol": options.rtol,
            "max_num_steps": STEPS,
            "calc_ic": False,
            "first_time": 1e-4,
            "verbose": False,
        }
        return CasadiEngine("idas", settings, reduction, quadratures, options)


def _without_states(reduction: Reduction) -> str | None:
    if not reduction.system.state_columns:
        return "nothing is left to integrate: the equations determine every variable at each time"
    return None
