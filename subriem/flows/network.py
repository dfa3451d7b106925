"""Layered networks as a map theta -> x[theta]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subriem.core.errors import ProblemError
from subriem.flows.activations import ACTIVATIONS, Activation
from subriem.flows.layers import Layout, Names, Pass
from subriem.flows.symmetry import canonical_weights

if TYPE_CHECKING:
    import casadi as ca

Array = NDArray[np.float64]
#: Largest K for which a symbolic `.function` is built.
SYMBOLIC_LIMIT = 200

# Parameters of a trial stage may be huge (1e200); the outputs are then inf or NaN, which the caller rejects.
# The warning of the product that overflowed would be noise: every evaluation is made under one setting.
_quiet = np.errstate(over="ignore", under="ignore", invalid="ignore")


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A layered network evaluated on fixed inputs; made by `network`.

    Parameters
    ----------
    widths : tuple of int
        (width of the inputs, hidden widths, Q).
    inputs : (N, widths[0]) ndarray
        Made read-only.
    activation : {"tanh", "sigmoid", "softplus", "relu", "linear"}
        Of the hidden layers; the output layer is linear.
    biases : bool
        Whether Z_l = A_{l-1} W_l^T + b_l, or without b_l.

    Notes
    -----
    theta holds, layer by layer, W_l (row-major, shape (out, in)), then b_l. The output x in R^n, n = N Q, is
    sample-major. The last forward pass is kept and used again at the same theta; it is not pickled.

    Examples
    --------
    >>> import numpy as np
    >>> net = network([2, 3, 1], np.eye(2))
    >>> net
    <tanh network 2-3-1, 2 samples: K = 13, n = 2>
    >>> net.value(np.zeros(13))
    array([0., 0.])
    """

    widths: tuple[int, ...]
    inputs: Array
    activation: str = "tanh"
    biases: bool = True
    _last: Pass | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.inputs.setflags(write=False)

    def __reduce__(self) -> tuple[type[Network], tuple[tuple[int, ...], Array, str, bool]]:
        return Network, (self.widths, self.inputs, self.activation, self.biases)

    def __repr__(self) -> str:
        widths = "-".join(str(width) for width in self.widths)
        bare = "" if self.biases else " without biases"
        sizes = f"{self.samples} samples: K = {self.n_in}, n = {self.n_out}"
        return f"<{self.activation} network {widths}{bare}, {sizes}>"

    # -- what it is --------------------------------------------------------------------------------

    @property
    def samples(self) -> int:
        """N."""
        return self.inputs.shape[0]

    @property
    def n_in(self) -> int:
        """K."""
        return self.layout.size

    @property
    def n_out(self) -> int:
        """N Q."""
        return self.samples * self.widths[-1]

    @cached_property
    def layout(self) -> Layout:
        """Where each array lies in theta."""
        return Layout(self.widths, self.biases)

    @property
    def rule(self) -> Activation:
        """The activation function with its derivatives."""
        return ACTIVATIONS[self.activation]

    @property
    def piecewise(self) -> bool:
        """Whether D jumps (relu)."""
        return self.rule.piecewise and len(self.widths) > 2

    @property
    def capabilities(self) -> frozenset[str]:
        """Return "gram", "second", "hvp", "canonical"; "function" for K <= 200; "conserved" for linear and relu."""
        return self._capabilities

    @cached_property
    def _capabilities(self) -> frozenset[str]:
        symbolic = {"function"} if self.n_in <= SYMBOLIC_LIMIT else set[str]()
        conserving = {"conserved"} if self.activation in ("linear", "relu") else set[str]()
        return frozenset({"gram", "second", "hvp", "canonical"} | symbolic | conserving)

    @cached_property
    def parameter_names(self) -> Names:
        """Names like "W1[0,2]" and "b1[0]", with indices from 0 as in the arrays; length K."""
        return Names(self.n_in, self.layout.name)

    @cached_property
    def output_names(self) -> Names:
        """Names like "row 18, output 1", counted from 1 as in a data file; length n."""
        outputs = self.widths[-1]
        return Names(self.n_out, lambda index: f"row {index // outputs + 1}, output {index % outputs + 1}")

    @cached_property
    def unit_names(self) -> Names:
        """Names like "layer 1 unit 3" of the hidden units, counted from 1, layer by layer."""
        units = [(layer, unit) for layer, width in enumerate(self.widths[1:-1], 1) for unit in range(1, width + 1)]
        return Names(len(units), lambda index: "layer {} unit {}".format(*units[index]))

    def sample_of(self, output: int) -> int:
        """Return the sample (row of the inputs, from 0) that an entry of x belongs to."""
        return range(self.n_out)[output] // self.widths[-1]

    @cached_property
    def duplicate_inputs(self) -> tuple[tuple[int, ...], ...]:
        """Groups of two or more samples (from 0) whose input rows agree bit by bit."""
        groups: dict[bytes, list[int]] = {}
        for sample, row in enumerate(self.inputs):
            groups.setdefault(row.tobytes(), []).append(sample)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)

    # -- parameters --------------------------------------------------------------------------------

    def unpack(self, theta: Array) -> dict[str, Array]:
        """Return views of theta by name: W1 (out, in), b1 (out,), W2, …; ProblemError unless (K,)."""
        return self.layout.views(_vector(theta, "theta", self.n_in))

    def pack(self, params: Mapping[str, ArrayLike]) -> Array:
        """Return theta (K,) from arrays by name; ProblemError for a wrong name or shape."""
        places = self.layout.places
        missing, unknown = [n for n in places if n not in params], [str(n) for n in params if n not in places]
        if missing or unknown:
            raise ProblemError(
                "the names of the parameters do not fit the network",
                f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}",
                ", ".join(places),
                "start from net.unpack(theta)",
            )
        theta = np.empty(self.n_in)
        for name, (part, shape) in places.items():
            value = _real(params[name], name)
            if value.shape != shape:
                hint = "W has the shape (out, in)" if name[0] == "W" else "b has the shape (out,)"
                raise ProblemError(f"{name} has the wrong shape", f"shape {value.shape}", f"shape {shape}", hint)
            theta[part] = value.ravel()
        return theta

    def initial(self, seed: int = 0, scheme: Literal["fan_in", "xavier"] = "fan_in") -> Array:
        """Return a random theta (K,), drawn layer by layer, W_l before b_l.

        Parameters
        ----------
        seed : int
            Of `numpy.random.default_rng`.
        scheme : {"fan_in", "xavier"}
            With variances, "fan_in": W ~ N(0, 1/fan_in), b ~ N(0, 1/4); "xavier":
            W ~ N(0, 2/(fan_in + fan_out)), b = 0 (Glorot and Bengio 2010, normal draws).

        Returns
        -------
        ndarray

        Raises
        ------
        ProblemError
            If the scheme is unknown.
        """
        if scheme not in ("fan_in", "xavier"):
            raise ProblemError("the start is unknown", repr(scheme), '"fan_in" or "xavier"', 'scheme="fan_in"')
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ProblemError("network.initial: seed is not an integer >= 0", repr(seed), "0, 1, 2, …", "seed=0")
        rng = np.random.default_rng(seed)
        params: dict[str, Array] = {}
        for layer, (fan_in, fan_out) in enumerate(pairwise(self.widths), start=1):
            variance = 1.0 / fan_in if scheme == "fan_in" else 2.0 / (fan_in + fan_out)
            params[f"W{layer}"] = np.sqrt(variance) * rng.standard_normal((fan_out, fan_in))
            if self.biases:
                params[f"b{layer}"] = rng.standard_normal(fan_out) / 2 if scheme == "fan_in" else np.zeros(fan_out)
        return self.pack(params)

    # -- evaluation --------------------------------------------------------------------------------

    def _pass(self, theta: Array) -> Pass:
        theta = _vector(theta, "theta", self.n_in)
        last = self._last
        if last is None or not last.made_at(theta):
            last = Pass(self.layout, self.rule, self.inputs, theta)
            # one assignment of a complete object: another thread sees the pass before or this one
            object.__setattr__(self, "_last", last)
        return last

    @_quiet
    def value(self, theta: Array) -> Array:
        """Return x[theta], shape (n,)."""
        return self._pass(theta).x.flatten()

    @_quiet
    def hidden(self, theta: Array) -> tuple[list[Array], list[Array]]:
        """Return the activations a(Z_l) and the slopes a'(Z_l) of the hidden layers, each (N, width_l)."""
        forward = self._pass(theta)
        return [a.copy() for a in forward.activations[1:]], [slope.copy() for slope in forward.slopes]

    @_quiet
    def jacobian(self, theta: Array) -> Array:
        """Return D, shape (n, K)."""
        return self._pass(theta).jacobian()

    @_quiet
    def jvp(self, theta: Array, v: Array) -> Array:
        """Return D v, shape (n,)."""
        return self._pass(theta).tangents(_vector(v, "v", self.n_in))[-1].ravel()

    @_quiet
    def vjp(self, theta: Array, w: Array) -> Array:
        """Return D^T w, shape (K,)."""
        return self._pass(theta).vjp(_vector(w, "w", self.n_out))

    @_quiet
    def gram(self, theta: Array) -> Array:
        """Return D D^T, shape (n, n), without forming D."""
        return self._pass(theta).gram()

    @_quiet
    def second(self, theta: Array, u: Array, v: Array) -> Array:
        """Return D^2 x[u, v], shape (n,)."""
        return self._pass(theta).second(_vector(u, "u", self.n_in), _vector(v, "v", self.n_in)).ravel()

    @_quiet
    def hvp(self, theta: Array, lam: Array, v: Array) -> Array:
        """Return sum_a lam_a D^2 x_a v, shape (K,)."""
        return self._pass(theta).hvp(_vector(lam, "lam", self.n_out), _vector(v, "v", self.n_in))

    @_quiet
    def conserved(self, theta: Array) -> Array:
        """Return functions of theta whose gradients lie in ker D: every flow in range D^T keeps them.

        For each hidden layer of a linear network these are the upper triangle, row by row, of
        W_{l+1}^T W_{l+1} - W_l W_l^T - b_l b_l^T, for relu its diagonal (docs: mathematics, §5). Other activations
        raise ProblemError.
        """
        if "conserved" not in self.capabilities:
            raise ProblemError(
                "this network has no known conserved quantities",
                f"activation {self.activation!r}",
                '"linear" or "relu"',
                'ask for "conserved" in net.capabilities first',
            )
        weights, biases = self.layout.split(_vector(theta, "theta", self.n_in))
        found = [np.zeros(0)]
        for layer, (below, above) in enumerate(pairwise(weights)):
            balance = above.T @ above - below @ below.T
            if biases:
                balance -= np.outer(biases[layer], biases[layer])
            found.append(balance.diagonal() if self.activation == "relu" else balance[np.triu_indices_from(balance)])
        return np.concatenate(found)

    def canonical(self, theta: Array) -> Array:
        """Return the theta (K,) with the same output that stands for all exchanges and changes of sign of hidden units.

        Signs only where the activation is odd (tanh, linear); further symmetries, as of linear layers, are left.
        """
        return self.pack(canonical_weights(self.unpack(theta), len(self.widths) - 1, self.rule.odd))

    @cached_property
    def function(self) -> ca.Function:
        """The casadi.Function theta -> x in SX; ProblemError for K > 200."""
        if self.n_in > SYMBOLIC_LIMIT:
            raise ProblemError(
                "the network is too large for a symbolic function",
                f"K = {self.n_in}",
                f"K <= {SYMBOLIC_LIMIT}",
                "a smaller network, or the numeric methods (follow needs no symbolic function)",
            )
        import casadi as ca

        theta = ca.SX.sym("theta", self.n_in)
        z: Any = ca.SX(ca.DM(self.inputs.T))  # columns are samples
        for layer in range(1, len(self.widths)):
            part, (fan_out, fan_in) = self.layout.places[f"W{layer}"]
            # CasADi reads column by column, so the row-major W comes out transposed
            z = ca.reshape(theta[part], fan_in, fan_out).T @ z
            if self.biases:
                z = z + ca.repmat(theta[self.layout.places[f"b{layer}"][0]], 1, self.samples)
            if layer < len(self.widths) - 1:
                z = self.rule.symbolic(z)
        return ca.Function("x", [theta], [ca.densify(ca.vec(z))], ["theta"], ["x"])


def network(
    widths: Sequence[int],
    inputs: ArrayLike,
    activation: Literal["tanh", "sigmoid", "softplus", "relu", "linear"] = "tanh",
    *,
    biases: bool = True,
) -> Network:
    """Make the map theta -> x[theta] of a layered network on given inputs.

    Parameters
    ----------
    widths : sequence of int
        [width of the inputs, hidden widths, Q]; [p, q] is one affine layer.
    inputs : (N, widths[0]) array_like
        One row for each sample; copied.
    activation : {"tanh", "sigmoid", "softplus", "relu", "linear"}
        Of the hidden layers; the output layer is linear.
    biases : bool
        False leaves out every b_l.

    Returns
    -------
    Network
        A map with K = sum_l width_l (width_{l-1} + 1) parameters and n = N Q outputs, sample-major.

    Raises
    ------
    ProblemError
        If the inputs are not a real, finite, non-empty (N, widths[0]) array, widths are not two or more
        positive integers, or the activation is unknown.

    Notes
    -----
    x[theta] is the map of T. Chen, arXiv:2311.15487; each layer of its D is a Khatri-Rao product, which gives
    the Gram matrix without D.

    Examples
    --------
    >>> import numpy as np
    >>> net = network([4, 128, 3], np.ones((150, 4)))
    >>> net.n_in, net.n_out, net.output_names[5]
    (1027, 450, 'row 2, output 3')
    """
    sizes = _widths(widths)
    if activation not in ACTIVATIONS:
        known = ", ".join(f'"{name}"' for name in ACTIVATIONS)
        raise ProblemError("the activation is unknown", repr(activation), f"one of {known}", 'activation="tanh"')
    array = _real(inputs, "inputs")
    if array.ndim != 2 or array.size == 0:
        hint = "inputs[:, None] for one number a sample" if array.ndim == 1 else "one row for each sample"
        raise ProblemError("inputs is not a table", f"shape {array.shape}", f"shape (N, {sizes[0]}), N >= 1", hint)
    if array.shape[1] != sizes[0]:
        raise ProblemError(
            "widths do not fit the inputs",
            f"widths[0] = {sizes[0]}, inputs with {array.shape[1]} columns",
            "widths[0] equal to the number of columns",
            f"widths={[array.shape[1], *sizes[1:]]}",
        )
    if not np.isfinite(array).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ProblemError(
            "inputs has entries that are not finite",
            f"{int((~np.isfinite(array)).sum())} of {array.size}; first: row {row + 1}, column {column + 1} "
            f"(inputs[{row}, {column}] = {array[row, column]})",
            "finite numbers",
            "drop the row or fill the entry",
        )
    return Network(sizes, np.array(array, order="C"), str(activation), bool(biases))


def _widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return the widths as a tuple of int, or raise `ProblemError`."""
    expected, example = "two or more positive integers [inputs, hidden ..., outputs]", "widths=[4, 128, 3]"
    try:
        sizes = tuple(widths)
    except TypeError as error:
        raise ProblemError("widths is not a sequence", repr(widths), expected, example) from error
    whole = all(isinstance(w, int | np.integer) and not isinstance(w, bool) and w >= 1 for w in sizes)
    if len(sizes) < 2 or not whole:
        raise ProblemError("widths do not describe a network", repr(widths), expected, example)
    return tuple(int(w) for w in sizes)


def _real(value: ArrayLike, name: str) -> Array:
    """Return `value` as a float64 array, or raise `ProblemError` if it does not hold real numbers."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        expected = "a rectangular array of real numbers"
        raise ProblemError(f"{name} is not an array", str(error), expected, f"check the rows of {name}") from error
    if array.dtype.kind not in "fiub":
        hint = f"{name}.real" if array.dtype.kind == "c" else f"np.asarray({name}, dtype=float)"
        raise ProblemError(f"{name} does not hold real numbers", f"dtype {array.dtype}", "dtype float64", hint)
    return array.astype(np.float64, copy=False)


def _vector(value: Array, name: str, size: int) -> Array:
    """Return `value` as a float64 vector; its entries are not looked at, because this is on the hot path."""
    array = _real(value, name)
    if array.shape != (size,):
        hint = f"the vector {name} that was made for this network"
        raise ProblemError(f"{name} has the wrong shape", f"shape {array.shape}", f"shape ({size},)", hint)
    return array
