"""Problems that the tests of the flows share: a map, a cost and a start each."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

import subriem as sr
from subriem.flows.cost import SquaredError
from subriem.flows.network import Network, network

IRIS = Path(sr.__file__).parent / "zoo" / "data" / "iris.csv"
#: The two rows of iris (from 1) with equal measurements.
TWINS = (102, 143)


@dataclass(frozen=True)
class Problem:
    """A map, a squared error and a start; `flow` is the adapted flow."""

    map: Any
    cost: SquaredError
    theta0: np.ndarray

    @property
    def flow(self) -> sr.flows.Flow:
        return sr.flows.adapted(self.map, self.cost)

    @property
    def standard(self) -> sr.flows.Flow:
        return sr.flows.standard(self.map, self.cost)

    @property
    def y(self) -> np.ndarray:
        return self.cost.target

    @property
    def x0(self) -> np.ndarray:
        return self.map.value(self.theta0)

    @property
    def chord(self) -> float:
        return float(np.linalg.norm(self.x0 - self.y))


def net_problem(widths: list[int], samples: int, seed: int, scheme: Any = "fan_in") -> Problem:
    """Inputs, then targets, N(0, 1) from default_rng(seed); the start is net.initial(seed)."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((samples, widths[0]))
    targets = rng.standard_normal((samples, widths[-1]))
    net = network(widths, inputs)
    return Problem(net, sr.flows.squared_error(targets), net.initial(seed, scheme=scheme))


def wide(seed: int = 0) -> Problem:
    """K = 42, n = 8, N = 4: over-parametrized."""
    return net_problem([2, 8, 2], 4, seed)


def thin(seed: int) -> Problem:
    """K = 13, n = 30: under-parametrized."""
    return net_problem([2, 3, 1], 30, seed)


def square(widths: list[int], seed: int) -> Problem:
    """K = n: as many samples as parameters, one output."""
    parameters = sum(after * (before + 1) for before, after in pairwise(widths))
    return net_problem(widths, parameters, seed)


def deep(seed: int, scheme: str) -> Problem:
    """4-28-28-2, K = 1010, n = 100, data from default_rng(100 + seed)."""
    rng = np.random.default_rng(100 + seed)
    net = network([4, 28, 28, 2], rng.standard_normal((50, 4)))
    return Problem(net, sr.flows.squared_error(rng.standard_normal((50, 2))), net.initial(seed, scheme=scheme))  # type: ignore[arg-type]


def repeated(copies: int = 2, seed: int = 0) -> Problem:
    """Four samples and `copies - 1` further ones of the second, with labels of their own."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((4, 2))
    inputs = np.vstack([inputs, *[inputs[1]] * (copies - 1)])
    net = network([2, 8, 2], inputs)
    return Problem(net, sr.flows.squared_error(rng.standard_normal((inputs.shape[0], 2))), net.initial(seed))


def iris(hidden: int = 128, seed: int = 0, scheme: Any = "fan_in", flipped: bool = False) -> Problem:
    """Standardised features, one-hot labels; `flipped` gives the second of the twin rows another label."""
    with IRIS.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    features = np.array([[float(entry) for entry in row[:-1]] for row in rows])
    species = sorted({row[-1] for row in rows})
    labels = np.array([species.index(row[-1]) for row in rows])
    assert (features[TWINS[0] - 1] == features[TWINS[1] - 1]).all()
    assert labels[TWINS[0] - 1] == labels[TWINS[1] - 1] == 2
    if flipped:
        labels[TWINS[1] - 1] = 1
    net = network([4, hidden, 3], (features - features.mean(axis=0)) / features.std(axis=0))
    return Problem(net, sr.flows.squared_error(np.eye(3)[labels]), net.initial(seed, scheme=scheme))


def symbolic(expression: Callable[[ca.SX], Any], target: Any, theta0: Any) -> Problem:
    """A map from a CasADi expression; one row of targets is one sample."""
    theta0 = np.asarray(theta0, dtype=float)
    return Problem(sr.map(expression, theta0.size), sr.flows.squared_error(target), theta0)


def ellipse(theta0: float = 0.3) -> Problem:
    return symbolic(lambda q: ca.vertcat(2 * ca.cos(q), ca.sin(q)), [[0.0, 0.0]], [theta0])


@dataclass(frozen=True)
class Singular:
    """A problem whose adapted flow ends at s = `end`, known in closed form, with the status `name`."""

    problem: Problem
    end: float
    name: str


def fold(scale: float = 1.0, shift: float = 0.0) -> Singular:
    """x = theta^2, y = -1 from theta = 1, with parameters theta = shift + scale * (parameter of the page)."""
    return Singular(symbolic(lambda q: ((q - shift) / scale) ** 2, [-1.0], [shift + scale]), np.log(2), "RANK_CHANGED")


def escape(scale: float = 1.0, shift: float = 0.0) -> Singular:
    """x = tanh(theta), y = 2 from theta = 0, parameters as in `fold`."""
    return Singular(symbolic(lambda q: ca.tanh((q - shift) / scale), [2.0], [shift]), np.log(2), "ESCAPED")


def cubic_fold(size: float = 1.0) -> Singular:
    """x = theta^3 - 3 theta from 2 to -4, in units of 1/size: the fold is at theta = 1, x = -2."""
    problem = symbolic(lambda q: size * (q**3 - 3 * q), [-4.0 * size], [2.0])
    return Singular(problem, np.log(6 / 2), "RANK_CHANGED")


_TURN = np.array([[0.8, -0.6], [0.6, 0.8]])


def plane_fold(stretch: float = 1.0) -> Singular:
    """x = (p^2, p + q) from (4, 2) to (-1, 3), N = 2, (p, q) a turned and stretched theta: det D = 0 where p = 0."""
    frame = _TURN @ np.diag([1.0, stretch])

    def expression(theta: ca.SX) -> Any:
        plane = ca.DM(np.linalg.inv(frame)) @ theta
        return ca.vertcat(plane[0] ** 2, plane[0] + plane[1])

    # two samples: the output runs to y at rate 1/2
    return Singular(symbolic(expression, [-1.0, 3.0], frame @ [2.0, 0.0]), 2 * np.log(5 / 1), "RANK_CHANGED")


def plane_escape(stretch: float = 1.0) -> Singular:
    """x = (p/sqrt(1 + p^2), p + q) to (3, -1), N = 2: p -> infinity like (s* - s)^(-1/2), q -> -infinity."""
    frame = _TURN @ np.diag([1.0, stretch])

    def expression(theta: ca.SX) -> Any:
        plane = ca.DM(np.linalg.inv(frame)) @ theta
        return ca.vertcat(plane[0] / ca.sqrt(1 + plane[0] ** 2), plane[0] + plane[1])

    return Singular(symbolic(expression, [3.0, -1.0], np.zeros(2)), 2 * np.log(3 / 2), "ESCAPED")


def radial_fold() -> Singular:
    """x = |theta|^2 on the plane, y = -2 from |theta|^2 = 3: K > n, and the rank is lost at the origin alone."""
    return Singular(symbolic(lambda q: q[0] ** 2 + q[1] ** 2, [-2.0], [1.0, np.sqrt(2)]), np.log(5 / 2), "RANK_CHANGED")


def slow_escape() -> Singular:
    """x = atan(theta), y = 2 pi from 0: theta -> infinity like 1/(s* - s)."""
    return Singular(symbolic(lambda q: ca.atan(q), [2 * np.pi], [0.0]), np.log(4 / 3), "ESCAPED")


class Counted:
    """A map that remembers at how many different parameters it was evaluated, by whatever method."""

    def __init__(self, inner: Network) -> None:
        self.inner, self.seen = inner, set[bytes]()
        self.n_in, self.n_out, self.capabilities = inner.n_in, inner.n_out, frozenset({"gram"})

    def _at(self, theta: np.ndarray) -> Network:
        self.seen.add(np.ascontiguousarray(theta).tobytes())
        return self.inner

    def value(self, theta: np.ndarray) -> np.ndarray:
        return self._at(theta).value(theta)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        return self._at(theta).jacobian(theta)

    def jvp(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._at(theta).jvp(theta, v)

    def vjp(self, theta: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self._at(theta).vjp(theta, w)

    def gram(self, theta: np.ndarray) -> np.ndarray:
        return self._at(theta).gram(theta)


def regime_of(sol: sr.flows.FlowSolution) -> sr.flows.Regime:
    assert sol.regime is not None
    return sol.regime


def end_of(sol: sr.flows.FlowSolution) -> float:
    """The located singularity as an s."""
    assert sol.singularity is not None
    clock = sol.singularity.clock
    if sol.clock == "s":
        return clock
    assert sol.rate is not None
    return float(-np.log1p(-clock) / sol.rate) if clock < 1 else np.inf
