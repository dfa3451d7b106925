"""Peers: the field in JAX by reverse mode or by the structured Gram, diffrax's Dopri8 on it; geodesics by geomstats.

JAX on one thread, in double precision, everything compiled; compile times are taken apart.
"""

from __future__ import annotations

import importlib
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.flows.problems import Problem


def jax_module() -> Any:
    """Return jax in double precision on one thread, or skip the test."""
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # read at the first import
    jax = pytest.importorskip("jax", reason="needs the extra 'peers'")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    return jax


class JaxNetwork:
    """A network of a `Problem` in JAX, with w = y - x0."""

    def __init__(self, problem: Problem) -> None:
        self.jax = jax_module()
        self.np = self.jax.numpy
        net = problem.map
        self.places, self.layers = net.layout.places, len(net.widths) - 1
        self.inputs, self.samples, self.outputs = self.np.asarray(net.inputs), net.samples, net.widths[-1]
        self.y = self.np.asarray(problem.y)
        self.w = self.np.asarray(problem.y - problem.x0)

    def _split(self, theta: Any) -> tuple[list[Any], list[Any]]:
        weights = [theta[part].reshape(shape) for name, (part, shape) in self.places.items() if name[0] == "W"]
        return weights, [theta[part] for name, (part, _) in self.places.items() if name[0] == "b"]

    def _forward(self, theta: Any) -> tuple[list[Any], Any]:
        weights, biases = self._split(theta)
        activations, z = [self.inputs], None
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if layer:
                activations.append(self.np.tanh(z))
            z = activations[-1] @ weight.T + bias
        return activations, z

    def value(self, theta: Any) -> Any:
        """x[theta], sample-major."""
        return self._forward(theta)[1].ravel()

    def lift_jacrev(self, theta: Any, w: Any) -> Any:
        """D^+ w with D from reverse mode on all samples at once: what one writes down first."""
        return self._explicit(self.jax.jacrev(self.value)(theta), w)

    def lift_samples(self, theta: Any, w: Any) -> Any:
        """D^+ w with D from reverse mode on each sample alone, N times fewer operations."""

        def single(theta: Any, sample: Any) -> Any:
            weights, biases = self._split(theta)
            z = weights[0] @ sample + biases[0]
            for weight, bias in zip(weights[1:], biases[1:], strict=True):
                z = weight @ self.np.tanh(z) + bias
            return z

        d = self.jax.vmap(self.jax.jacrev(single), in_axes=(None, 0))(theta, self.inputs)
        return self._explicit(d.reshape(self.samples * self.outputs, -1), w)

    def _explicit(self, d: Any, w: Any) -> Any:
        factor = self.jax.scipy.linalg.cho_factor(d @ d.T, lower=True)
        return d.T @ self.jax.scipy.linalg.cho_solve(factor, w)

    def lift_gram(self, theta: Any, w: Any) -> Any:
        """D^+ w with the same structured Gram as ours, so that only integrators and compilers differ."""
        np_, n, q = self.np, self.samples, self.outputs
        weights, _ = self._split(theta)
        activations, _ = self._forward(theta)
        kernels = [a @ a.T + 1.0 for a in activations]
        gram = np_.einsum("ij,qp->iqjp", kernels[-1], np_.eye(q))
        seed = None
        for layer in range(self.layers - 2, -1, -1):
            above = weights[layer + 1] if seed is None else seed @ weights[layer + 1]
            seed = (1.0 - activations[layer + 1] ** 2)[:, None, :] * above
            rows = seed.reshape(n * q, -1)
            gram += (rows @ rows.T).reshape(n, q, n, q) * kernels[layer][:, None, :, None]
        factor = self.jax.scipy.linalg.cho_factor(gram.reshape(n * q, n * q), lower=True)
        return self.jax.vjp(self.value, theta)[1](self.jax.scipy.linalg.cho_solve(factor, w))[0]


def jax_field(problem: Problem, lift: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return theta -> D^+ (y - x0), compiled; `lift` as for `Diffrax`."""
    network = JaxNetwork(problem)
    lifted = getattr(network, f"lift_{lift}")
    compiled = network.jax.jit(lambda theta: (network.value(theta), lifted(theta, network.w)))
    return lambda theta: np.asarray(compiled(theta)[1])


class Diffrax:
    """diffrax's Dopri8 on an adapted flow.

    Parameters
    ----------
    problem : Problem
    clock : {"s", "t"}
    lift : {"jacrev", "samples", "gram"}
        D by reverse mode on all samples at once, or on each alone; or the structured Gram.
    rtol : float
        Also atol.
    end : float
        Clock at the end.

    Attributes
    ----------
    compile_seconds : float
        CPU time of the first call.
    """

    def __init__(self, problem: Problem, clock: str, lift: str, rtol: float, end: float) -> None:
        jax_module()
        diffrax = pytest.importorskip("diffrax", reason="needs the extra 'peers'")
        network = JaxNetwork(problem)
        lifted = getattr(network, f"lift_{lift}")
        rate = problem.cost.rate

        def field(_: Any, theta: Any, args: Any) -> Any:
            return lifted(theta, network.w if clock == "t" else rate * (network.y - network.value(theta)))

        def solve(theta: Any) -> Any:
            return diffrax.diffeqsolve(
                diffrax.ODETerm(field),
                diffrax.Dopri8(),
                0.0,
                end,
                None,
                theta,
                saveat=diffrax.SaveAt(t1=True),
                stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol),
                max_steps=100_000,
            )

        self.run, self.start = network.jax.jit(solve), network.np.asarray(problem.theta0)
        self.stages = diffrax.Dopri8.tableau.num_stages
        begin = time.process_time()
        self()
        self.compile_seconds = time.process_time() - begin

    def __call__(self) -> Any:
        """Run, and wait for the end."""
        found = self.run(self.start)
        found.ys.block_until_ready()
        return found


def geomstats_heisenberg() -> Callable[[np.ndarray, float, int], np.ndarray]:
    """Return (covector, time, steps) -> end of the geodesic from the origin of the Heisenberg group, by geomstats.

    The frame is that of `subriem.zoo.spaces`; the only integrator is symplectic Euler, 20 steps by default.
    """
    os.environ.setdefault(
        "GEOMSTATS_BACKEND", "autograd"
    )  # read at the first import; its NumPy backend has no gradients
    pytest.importorskip("autograd", reason="needs the extra 'peers'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # its importer uses the protocol from before Python 3.4
        gs = pytest.importorskip("geomstats.backend", reason="needs the extra 'peers'", exc_type=ImportError)
        heisenberg = importlib.import_module("geomstats.geometry.heisenberg")
        metrics = importlib.import_module("geomstats.geometry.sub_riemannian_metric")

    def frame(q: Any) -> Any:
        return gs.array([[1.0, 0.0], [0.0, 1.0], [-q[1] / 2, q[0] / 2]])

    metric = metrics.SubRiemannianMetric(heisenberg.HeisenbergVectors(equip=False), frame=frame)
    return lambda p, time, steps: np.asarray(metric.exp(gs.array(time * p), gs.zeros(3), n_steps=steps))
