"""The adapted flow as a DAE: the eight formulations of mathematics, §4, in the clock s."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import casadi as ca

from subriem.core.errors import ProblemError
from subriem.core.protocols import Cost, Map
from subriem.reduction.dae import DAE, dae
from subriem.reduction.declare import equation_column

if TYPE_CHECKING:
    from subriem.flows.flow import Flow

#: K + n above which symbolic equations are slow to differentiate.
COMFORTABLE = 200


class LargeDAEWarning(UserWarning):
    """A flow was written as a DAE of more than 200 parameters and outputs: its reduction takes long."""


class Symbolic:
    """What the formulations are made of: x[theta], D v, D^T w and grad_x C as CasADi expressions.

    Parameters
    ----------
    map : Map
        With the capability "function".
    cost : Cost
        Its gradient is called on symbols.
    damping : float
        mu.
    image : callable or None
        Phi, zero on the image of the map.

    Raises
    ------
    ProblemError
        If the map has no symbolic function, or the cost no symbolic gradient.
    """

    def __init__(self, map: Map, cost: Cost, damping: float, image: Callable[[ca.SX], Any] | None) -> None:
        if "function" not in map.capabilities:
            raise ProblemError(
                "a flow of this map cannot be written as a DAE: the map has no symbolic function",
                f"{type(map).__name__} with K = {map.n_in}, n = {map.n_out}",
                "a map from CasADi expressions, or a network with K <= 200",
                "sr.map(fn, n_in); sr.follow and sr.lift need no symbols",
            )
        self.x: Callable[[ca.SX], ca.SX] = cast("Any", map).function
        self.cost, self.damping, self.image = cost, damping, image
        self.parameters, self.outputs = map.n_in, map.n_out
        names = getattr(map, "output_names", None)
        self._labels = [str(i) for i in range(map.n_out)] if names is None else [str(name) for name in names]

    def push(self, theta: ca.SX, v: ca.SX) -> ca.SX:
        """Return D v."""
        return ca.jtimes(self.x(theta), theta, v)

    def pull(self, theta: ca.SX, w: ca.SX) -> ca.SX:
        """Return D^T w."""
        return ca.jtimes(self.x(theta), theta, w, True)

    def gradient(self, x: ca.SX) -> ca.SX:
        """Return grad_x C at an output."""
        try:
            return ca.SX(cast("Any", self.cost).gradient(x))
        except (TypeError, NotImplementedError) as error:
            raise ProblemError(
                "a flow of this cost cannot be written as a DAE: its gradient takes no symbols",
                f"{type(self.cost).__name__}: {error}",
                "a gradient made of operations that CasADi's SX knows",
                "sr.flows.squared_error(targets)",
            ) from error

    def rows(self, name: str, column: ca.SX) -> list[tuple[str, ca.SX]]:
        """Return one equation for each output, named slope[3], or slope[row 2, output 1] by the map's own names."""
        return [(f"{name}[{label}]", row) for label, row in zip(self._labels, ca.vertsplit(column), strict=True)]

    def constraints(self, x: ca.SX) -> ca.SX:
        """Return Phi(x) as a column."""
        if self.image is None:
            raise ProblemError(
                "form 'output' needs the equations of the image",
                "Phi=None",
                "Phi(x), a CasADi column that is zero on the image of the map",
                "form='image', which needs none",
            )
        return equation_column("image", self.image(x))


def _kkt(f: Symbolic) -> DAE:
    @dae(variables={"theta": f.parameters, "v": f.parameters, "lam": f.outputs})
    def kkt(s, v, d, p):
        return [
            ("motion", d(v.theta) - v.v),
            ("horizontal", v.v - f.pull(v.theta, v.lam)),
            *f.rows("slope", f.push(v.theta, v.v) + f.gradient(f.x(v.theta))),
        ]

    return kkt


def _lsq(f: Symbolic) -> DAE:
    @dae(variables={"theta": f.parameters, "v": f.parameters, "r": f.outputs}, weights={"theta": 1.0})
    def lsq(s, v, d, p):
        return [
            ("motion", d(v.theta) - v.v),
            *f.rows("slope", v.r + f.push(v.theta, v.v) + f.gradient(f.x(v.theta))),
            ("normal", f.pull(v.theta, v.r)),
        ]

    return lsq


def _lm(f: Symbolic) -> DAE:
    @dae(variables={"theta": f.parameters, "v": f.parameters, "lam": f.outputs}, parameters={"mu": f.damping})
    def lm(s, v, d, p):
        return [
            ("motion", d(v.theta) - v.v),
            ("horizontal", v.v - f.pull(v.theta, v.lam)),
            *f.rows("slope", f.push(v.theta, v.v) + p.mu * v.lam + f.gradient(f.x(v.theta))),
        ]

    return lm


def _tracking(f: Symbolic) -> DAE:
    @dae(variables={"theta": f.parameters, "lam": f.outputs, "X": f.outputs})
    def tracking(s, v, d, p):
        return [
            ("motion", d(v.theta) - f.pull(v.theta, v.lam)),
            *f.rows("descent", d(v.X) + f.gradient(v.X)),
            *f.rows("output", f.x(v.theta) - v.X),
        ]

    return tracking


def _output(f: Symbolic) -> DAE:
    size = f.constraints(ca.SX.sym("x", f.outputs)).numel()

    @dae(variables={"x": f.outputs, "mu": size})
    def output(s, v, d, p):
        phi = f.constraints(v.x)
        return [
            *f.rows("descent", d(v.x) + f.gradient(v.x) + ca.jtimes(phi, v.x, v.mu, True)),
            ("image", phi),
        ]

    return output


def _image(f: Symbolic) -> DAE:
    @dae(variables={"x": f.outputs, "theta": f.parameters, "mu": f.outputs})
    def image(s, v, d, p):
        return [
            *f.rows("descent", d(v.x) + f.gradient(v.x) - v.mu),
            *f.rows("output", v.x - f.x(v.theta)),
            ("normal", f.pull(v.theta, v.mu)),
        ]

    return image


def _inertial(f: Symbolic) -> DAE:
    @dae(variables={"theta": f.parameters, "v": f.parameters, "lam": f.outputs, "X": f.outputs})
    def inertial(s, v, d, p):
        return [
            ("motion", d(v.theta) - v.v),
            ("force", d(v.v) - f.pull(v.theta, v.lam)),
            *f.rows("descent", d(v.X) + f.gradient(v.X)),
            *f.rows("output", f.x(v.theta) - v.X),
        ]

    return inertial


def _implicit(f: Symbolic) -> DAE:
    @dae(variables={"theta": f.parameters}, weights={"theta": 1.0})
    def implicit(s, v, d, p):
        return [("normal", f.pull(v.theta, f.push(v.theta, d(v.theta)) + f.gradient(f.x(v.theta))))]

    return implicit


#: The formulations by name.
FORMS: Mapping[str, Callable[[Symbolic], DAE]] = {
    "kkt": _kkt,
    "lsq": _lsq,
    "lm": _lm,
    "tracking": _tracking,
    "output": _output,
    "image": _image,
    "inertial": _inertial,
    "implicit": _implicit,
}


def cast_flow(flow: Flow, form: str, Phi: Callable[[ca.SX], Any] | None = None, damping: float | None = None) -> DAE:
    """Write an adapted flow as a DAE; see `Flow.dae`."""
    if form not in FORMS:
        raise ProblemError("a flow has no such form", repr(form), f"one of {', '.join(FORMS)}", "form='kkt'")
    if flow.kind != "adapted":
        raise ProblemError(
            "the DAE forms are those of the adapted flow",
            f"the {flow.kind.value} flow, an ordinary differential equation",
            "sr.flows.adapted(map, cost)",
            "sr.follow(flow, theta0)",
        )
    if Phi is not None and form != "output":
        raise ProblemError(f"form {form!r} takes no Phi", "Phi given", "Phi with form='output' only", "leave it out")
    symbolic = Symbolic(flow.map, flow.cost, _damping(flow, form, damping), Phi)
    if flow.map.n_in + flow.map.n_out > COMFORTABLE:
        warnings.warn(
            f"K + n = {flow.map.n_in} + {flow.map.n_out} > {COMFORTABLE}: the reduction of this DAE takes long",
            LargeDAEWarning,
            stacklevel=3,
        )
    return FORMS[form](symbolic)


def _damping(flow: Flow, form: str, damping: float | None) -> float:
    """Return mu: given or the flow's own; only form "lm" has one."""
    mu = flow.damping if damping is None else damping
    number = isinstance(mu, int | float) and not isinstance(mu, bool)
    if form == "lm" and not (number and 0 < mu < float("inf")):
        raise ProblemError("form 'lm' needs a damping", repr(mu), "mu > 0, in squared units of sigma", "damping=1e-6")
    if form != "lm" and mu != 0:
        raise ProblemError(
            f"form {form!r} has no damping", f"mu = {mu!r}", "form='lm', or a flow without damping", "form='lm'"
        )
    return float(mu)
