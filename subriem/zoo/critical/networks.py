"""Small networks of tanh units: where two units do the work of one, and manifolds without loss."""

from __future__ import annotations

from collections.abc import Callable

import casadi as ca
import numpy as np

from subriem.core.casadi_map import casadi_map
from subriem.core.protocols import Array
from subriem.flows.cost import squared_error
from subriem.flows.customcost import potential
from subriem.flows.flow import standard
from subriem.flows.network import network
from subriem.zoo.critical.case import Case, Expected

#: Inputs, and the one unit a tanh(w x + b) that the least-squares fit of these data has as a rest point.
INPUTS = np.array([-2.0, -1.1, 0.2, 0.9, 2.1])
UNIT = (1.0, 0.3, 1.0)


def residual() -> Array:
    """Return r orthogonal to all changes of the unit, such that sum_i r_i tanh(w x_i + b) has a saddle in (w, b)."""
    w, b, _ = UNIT
    t = np.tanh(w * INPUTS + b)
    slope = 1 - t**2
    bent = -2 * t * slope
    first, second = np.linalg.qr(np.stack([t, slope, slope * INPUTS], axis=1), mode="complete")[0][:, 3:].T

    def determinant(r: Array) -> float:
        return float((r * bent * INPUTS**2).sum() * (r * bent).sum() - (r * bent * INPUTS).sum() ** 2)

    mixes = [np.cos(angle) * first + np.sin(angle) * second for angle in np.linspace(0, np.pi, 24, endpoint=False)]
    return min(mixes, key=determinant)


def split(s: float) -> Array:
    """Return the weights (w1, w2, b1, b2, a1, a2) of two equal units with outputs weighted by s and 1 - s."""
    w, b, a = UNIT
    return np.array([w, w, b, b, a * s, a * (1 - s)])


def splitting() -> Case:
    """Return the squared error of two units where one is a rest point: the line (a s, a (1 - s)).

    At s = 1 the second unit is dead: any (w2, b2) with sum_i r_i tanh(w2 x_i + b2) = 0 does, two curves that cross
    there. So three branches meet, and likewise at s = 0.
    """
    w, b, a = UNIT
    y = a * np.tanh(w * INPUTS + b) + 0.3 * residual()

    def loss(z: ca.SX) -> ca.SX:
        fit = sum(z[4 + i] * ca.tanh(z[i] * INPUTS + z[2 + i]) for i in range(2))
        return ca.sumsqr(fit - y) / 2

    return Case(
        name="splitting",
        title="two tanh units that do the work of one",
        source="Fukumizu, Amari, Local minima and plateaus in hierarchical structures, Neural Networks 13 (2000)",
        problem=potential(loss, 6, least=0.0),
        expected=(Expected(1, 1, (1, 0)),) * 5,
        crossings=(tuple(split(1.0).tolist()), tuple(split(0.0).tolist())),
        options={"starts": split(0.4)[None], "box": (split(0.5) - 0.75, split(0.5) + 0.75)},
    )


def no_loss(samples: int) -> Case:
    """Return c + a tanh(w x + b) = y at 2 or 3 inputs: four weights, so that d = 4 - N."""
    inputs = np.array([-1.0, 0.5, 1.5])[:samples]
    y = 0.2 + 0.8 * np.tanh(1.1 * inputs - 0.3)
    return Case(
        name=f"no-loss-{samples}",
        title=f"one tanh unit through {samples} points",
        source="Cooper, Global minima of overparameterized neural networks, SIAM J. Math. Data Sci. 3 (2021)",
        problem=casadi_map(lambda z: z[3] + z[2] * ca.tanh(z[0] * inputs + z[1]) - y, 4),
        expected=(Expected(4 - samples, None, (1, *(0,) * (4 - samples))),),
        options={"starts": np.array([[1.1, -0.3, 0.8, 0.2]]), "box": ([0.5, -1, 0.3, -0.5], [2, 1, 1.5, 1])},
    )


def study() -> Case:
    """Return the squared error of a 1-2-1 tanh network, K = 7, at 9 samples of another one of this shape.

    Rest points by classes of cost, dimension, index and rank D: the network without loss; lines where two units do the
    work of one (rank 4); curves where one unit does it beside a dead one (rank 5); surfaces where both are dead and the
    output is the mean of the targets (rank 1). Most starts run away to units that are saturated at all samples.
    """
    inputs = np.linspace(-2, 2, 9)
    targets = 1.2 * np.tanh(1.5 * inputs + 0.5) - 0.8 * np.tanh(inputs - 1.2)
    return Case(
        name="tanh-1-2-1",
        title="a 1-2-1 tanh network with biases at 9 samples",
        source="Fukumizu, Amari, Local minima and plateaus in hierarchical structures, Neural Networks 13 (2000)",
        problem=standard(network([1, 2, 1], inputs[:, None]), squared_error(targets)),
        expected=(Expected(2, 2, None), Expected(1, 1, None), Expected(1, 1, None), Expected(0, 0, (1,))),
        options={"starts": 400, "box": 4.0, "trace": False},
    )


MAKERS: dict[str, Callable[[], Case]] = {
    "splitting": splitting,
    "tanh-1-2-1": study,
    "no-loss-3": lambda: no_loss(3),
    "no-loss-2": lambda: no_loss(2),
}
