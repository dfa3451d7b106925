"""Maps theta -> x[theta] given by NumPy functions, and the check of a user's derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array, Map
from subriem.core.rank import EPS
from subriem.core.validate import positive_integer, returned, vector

#: Largest relative error of a central difference (step eps^(1/3)) that a right derivative can show.
DERIVATIVE_TOLERANCE = 1e-5
#: Steps of the verdict, relative to max(1, |theta|): some of them suit the map, whatever its scale.
_LADDER = tuple(10.0**-k for k in range(1, 15))
_FIT = "check n_in, n_out and what the function returns"


def output_name(source: Map, index: int) -> str:
    """Return the map's own name of an output, or "x[index]"."""
    names = getattr(source, "output_names", None)
    return str(names[index]) if names is not None else f"x[{index}]"


def parameter_name(source: Map, index: int) -> str:
    """Return the map's own name of a parameter, or "theta[index]"."""
    names = getattr(source, "parameter_names", None)
    return str(names[index]) if names is not None else f"theta[{index}]"


@dataclass(frozen=True, eq=False)
class NumpyMap:
    """A map from two Python functions; made by `numpy_map`."""

    value_function: Callable[[Array], Array]
    jacobian_function: Callable[[Array], Array]
    n_in: int
    n_out: int
    output_names: Sequence[str] | None = None
    parameter_names: Sequence[str] | None = None

    capabilities = frozenset[str]()

    def value(self, theta: Array) -> Array:
        """Return x[theta], shape (n,)."""
        return returned(self.value_function(theta), "numpy_map: value(theta)", (self.n_out,), _FIT)

    def jacobian(self, theta: Array) -> Array:
        """Return D, shape (n, K)."""
        shape = (self.n_out, self.n_in)
        return returned(self.jacobian_function(theta), "numpy_map: jacobian(theta)", shape, _FIT)

    def jvp(self, theta: Array, v: Array) -> Array:
        """Return D v, shape (n,)."""
        return self.jacobian(theta) @ v

    def vjp(self, theta: Array, w: Array) -> Array:
        """Return D^T w, shape (K,)."""
        return self.jacobian(theta).T @ w


def numpy_map(
    value: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    n_in: int,
    n_out: int,
    *,
    output_names: Sequence[str] | None = None,
    parameter_names: Sequence[str] | None = None,
) -> NumpyMap:
    """Make a map from a function and its Jacobian.

    Parameters
    ----------
    value : callable
        theta (K,) -> x (n,).
    jacobian : callable
        theta (K,) -> D (n, K).
    n_in, n_out : int
        K and n.
    output_names, parameter_names : sequence of str, optional
        Names used in messages.

    Returns
    -------
    NumpyMap

    Raises
    ------
    ProblemError
        If n_in or n_out is not a positive integer, a function is not callable, a name list has the wrong length; at a
        call, if a function returns the wrong shape. A wrong Jacobian is found at the first use by `check_map`.

    Examples
    --------
    >>> import numpy as np
    >>> fold = numpy_map(lambda t: t**2, lambda t: np.diag(2 * t), 1, 1)
    >>> fold.value(np.array([3.0]))
    array([9.])
    """
    n_in, n_out = positive_integer(n_in, "n_in"), positive_integer(n_out, "n_out")
    for function, which in ((value, "value"), (jacobian, "jacobian")):
        if not callable(function):
            raise ProblemError(
                f"numpy_map: {which} is not a function", type(function).__name__, "a callable of theta (K,)", "a def"
            )
    for names, count, which in (
        (output_names, n_out, "output_names"),
        (parameter_names, n_in, "parameter_names"),
    ):
        if names is not None and len(names) != count:
            raise ProblemError(f"numpy_map: {which} has the wrong length", str(len(names)), str(count), "one name each")
    return NumpyMap(value, jacobian, n_in, n_out, output_names, parameter_names)


def check_map(source: Map, theta: Array, *, seed: int = 0) -> None:
    """Compare jvp and vjp with a central difference of the value along one random direction.

    Parameters
    ----------
    source : Map
    theta : (K,) ndarray
        Where to look.
    seed : int
        Of the random direction.

    Raises
    ------
    ProblemError
        If value or D v is not finite at theta, D v differs from the difference quotient by more than 1e-5 of |D v|
        (before the verdict other steps are tried), or <w, D v> differs from <D^T w, v>.

    Notes
    -----
    One direction sees one entry's error divided by about |D v|; outputs much smaller than the others are not seen.

    Examples
    --------
    >>> import numpy as np
    >>> check_map(numpy_map(np.sin, lambda t: np.diag(np.cos(t)), 2, 2), np.array([0.3, 0.4]))
    """
    theta = vector(theta, "theta", source.n_in)
    rng = np.random.default_rng(seed)
    x = source.value(theta)
    if not np.isfinite(x).all():
        bad = int(np.argmin(np.isfinite(x)))
        raise ProblemError(
            "the map is not finite at the given theta",
            f"{output_name(source, bad)} = {x[bad]}",
            "finite outputs",
            "another theta, or a look at the map",
        )
    v = rng.standard_normal(source.n_in)
    w = rng.standard_normal(source.n_out)
    forward, backward = source.jvp(theta, v), source.vjp(theta, w)
    size = float(np.linalg.norm(forward))
    unit = max(1.0, float(np.abs(theta).max())) / float(np.abs(v).max())
    noise = 4 * EPS * _largest(x) / (6e-6 * unit)
    first = _largest(forward - _quotient(source, theta, v, 6e-6 * unit))
    if not (first <= DERIVATIVE_TOLERANCE * size and noise <= DERIVATIVE_TOLERANCE * size):
        quotient, error = _derivative(source, theta, v, unit, x)
        difference = np.abs(forward - quotient)
        allowed = DERIVATIVE_TOLERANCE * max(size, float(np.linalg.norm(quotient))) + 3 * error
        if not _largest(difference) <= allowed:
            worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
            raise ProblemError(
                "the Jacobian of the map is not the derivative of its value",
                f"D v = {forward[worst]:.9g} but (x(theta + h v) - x(theta - h v))/2h = {quotient[worst]:.9g} "
                f"at {output_name(source, worst)}, where they differ most",
                f"a difference of at most {DERIVATIVE_TOLERANCE:g} relative",
                "correct the Jacobian (rows are outputs, columns parameters), or check=False for a map with kinks",
            )
    scale = float(np.linalg.norm(w)) * size + float(np.linalg.norm(backward)) * float(np.linalg.norm(v))
    adjoint = abs(float(w @ forward - backward @ v)) / max(scale, 1e-300)
    if not adjoint < 1e-10:
        raise ProblemError(
            "vjp of the map is not the adjoint of jvp",
            f"|<w, D v> - <D^T w, v>| = {adjoint:.1e} relative",
            "at most 1e-10",
            "check vjp(theta, w) = D^T w",
        )


def _largest(x: Array) -> float:
    """Return sqrt(n) max |x_i|: at least |x|, and it sees a single output that is off."""
    return float(np.sqrt(x.size) * np.abs(x).max())


def _quotient(source: Map, theta: Array, v: Array, h: float) -> Array:
    """Return the central difference quotient of the value along v."""
    with np.errstate(all="ignore"):  # the map may overflow or leave its domain at a far point: the quotient is NaN then
        return (source.value(theta + h * v) - source.value(theta - h * v)) / (2 * h)


def _derivative(source: Map, theta: Array, v: Array, unit: float, x: Array) -> tuple[Array, float]:
    """Return the derivative of the value along v and its error, from the step where three quotients agree best."""
    quotients = [_quotient(source, theta, v, step * unit) for step in _LADDER]
    changes = [_largest(b - a) for a, b in pairwise(quotients)]
    best, error = quotients[0], np.inf
    for i, step in enumerate(_LADDER[1:-1], start=1):
        noise = 4 * EPS * _largest(x) / (step * unit)
        spread = max(changes[i - 1], changes[i]) + noise
        if spread < error:
            best, error = quotients[i], spread
    return best, error
