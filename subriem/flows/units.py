"""Which hidden units carry a right null vector of D, and why: a rank loss in plain language.

Where D z = 0, moving theta along z moves no output. For K < n the cause is nearly always one unit or one pair
of units (docs: mathematics, §1), and often it is only approached: at the numerical end of a path, where
sigma_min/sigma_max = 1e-7, the activations of a merging pair may still differ by 0.1, because its outgoing
weights grow. So a finding needs two things: a measure taken on the activations over the samples, and the null
vector lying on the parameters which this kind of degeneracy moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from subriem.core.errors import ProblemError
from subriem.flows.network import Network

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
#: Each member of a pair carries at least this fraction of |z|^2; else the pair is not the cause.
MEMBER = 0.05
#: A null direction is new if this fraction of its square lies outside the directions already explained.
NEW = 1e-3
#: Share that stands for all of a null vector.
EXACT = 1.0 - 1e-6
#: Largest entry of Z^T Z - 1 for null vectors that count as orthonormal.
ORTHONORMAL = 1e-6
#: Keeps quotients of zeros zero.
TINY = 1e-300


class UnitClass(StrEnum):
    """Why the parameters of a unit move no output; the value is the plain-language phrase."""

    DEAD = "dead unit"
    SATURATED = "unit saturated on all samples"
    CONSTANT = "unit constant on all samples"
    STEP = "saturated step"
    SPARSE = "unit active on too few samples"
    RESCALING = "unit whose weights only rescale it"
    MERGING = "merging pair"
    OPPOSITE = "opposite pair"
    UNCLASSIFIED = "unclassified"


@dataclass(frozen=True)
class UnitTolerances:
    """Up to which measured value a unit or a pair counts as degenerate.

    In brackets: the largest value of degenerate units and the smallest of others, at the ends of 20 runs of a
    tanh network 2-3-1 with 30 samples and sigma_min/sigma_max = 1e-7.

    Attributes
    ----------
    outgoing : float
        DEAD: |outgoing weights| times the root mean square of the activation, relative to the largest such
        product in the layer.
    saturated : float
        SATURATED: largest slope over the samples, relative to the steepest of the activation (0.052, 0.20).
    spread : float
        SATURATED, CONSTANT: standard deviation of the activation over the samples, relative to the largest
        root mean square in the layer (0.0096, 0.21).
    slope : float
        STEP, SPARSE: the p-th largest slope over the samples, relative to the steepest, where p is the number
        of incoming parameters: fewer than p samples on the slope cannot determine them (0.0005, 0.094).
    homogeneity : float
        RESCALING: |a - z a'|/|a| over the samples, 0 where a(c z) = c a(z).
    angle : float
        MERGING, OPPOSITE: sine of the angle between the activations as vectors over the samples, with or
        without their means, whichever is smaller (0.044, 0.23).
    coincidence : float
        MERGING, OPPOSITE: the sine below which null vectors on incoming weights are ascribed to the pair too.

    Examples
    --------
    >>> UnitTolerances(angle=0.05).angle
    0.05
    """

    outgoing: float = 0.01
    saturated: float = 0.1
    spread: float = 0.15
    slope: float = 0.05
    homogeneity: float = 0.05
    angle: float = 0.2
    coincidence: float = 0.1


@dataclass(frozen=True)
class UnitFinding:
    """One cause of a rank loss.

    Attributes
    ----------
    kind : UnitClass
    units : tuple of str
        Names of the units concerned, counted from 1; for UNCLASSIFIED a small set that carries `share`.
    share : float
        Fraction of |z|^2 on the parameters which this kind of degeneracy moves; the least over `directions`.
    measure : str
        What the deciding number measures; empty for UNCLASSIFIED.
    value : float
        The deciding number; NaN for UNCLASSIFIED.
    limit : float
        Its tolerance.
    directions : int
        Number of independent null vectors explained.

    Examples
    --------
    >>> finding = UnitFinding(UnitClass.DEAD, ("layer 1 unit 2",), 1.0, "largest activation", 0.0, 0.0)
    >>> finding.sentence()
    'dead unit: layer 1 unit 2 (largest activation 0.0e+00, limit 0; 100 % of the null vector)'
    """

    kind: UnitClass
    units: tuple[str, ...]
    share: float
    measure: str
    value: float
    limit: float
    directions: int = 1

    def sentence(self) -> str:
        """Return the finding as readable text."""
        names = " and ".join(self.units) if len(self.units) < 3 else ", ".join(self.units)
        vectors = "the null vector" if self.directions == 1 else f"{self.directions} null vectors"
        carried = f"{100 * self.share:.3g} % of {vectors}"
        if self.kind is UnitClass.UNCLASSIFIED:
            return f"{self.kind}: {carried} on {names}; no known degeneracy fits"
        return f"{self.kind}: {names} ({self.measure} {self.value:.1e}, limit {self.limit:g}; {carried})"


@dataclass(frozen=True, eq=False)
class _Suspect:
    """A degeneracy that the measures allow; a finding if null vectors lie in a span.

    The span is that of the parameters in `support`, or the one unit vector `direction` (K,). Each of
    `members` must carry its part.
    """

    kind: UnitClass
    units: tuple[str, ...]
    support: Indices
    measure: str
    value: float
    limit: float
    members: tuple[Indices, ...] = ()
    direction: Array | None = None

    def captured(self, z: Array, share: float, room: int) -> tuple[float, Array]:
        """Return combinations (m, d) of null vectors with at least `share` in the span; first the least."""
        if self.direction is not None:
            return _captured(self.direction[None, :] @ z, share)
        if self.support.size > room:
            return 1.0, np.zeros((z.shape[1], 0))
        return _captured(z[self.support], share)


def _captured(inside: Array, share: float) -> tuple[float, Array]:
    values, vectors = np.linalg.eigh(inside.T @ inside)
    kept = values >= share
    return min(float(values[kept].min(initial=1.0)), 1.0), vectors[:, kept]


@dataclass(frozen=True, eq=False)
class _Layer:
    """What one hidden layer shows at theta, and where its parameters lie.

    `activations` and `slopes` (relative to the steepest) are (N, width), `effects`, `spreads` and `defects` (width,)
    the measures of `outgoing`, `spread` and `homogeneity` in `UnitTolerances`. Indices into theta: `incoming`
    (p, width) of W_l[j, :] and b_l[j], `outgoing` (q, width) of W_{l+1}[:, j], `biases` (1, width) of b_l[j] and
    `next_biases` (q,) of b_{l+1}, the last two empty without biases.
    """

    number: int
    activations: Array
    slopes: Array
    effects: Array
    spreads: Array
    defects: Array
    theta: Array
    incoming: Indices
    outgoing: Indices
    biases: Indices
    next_biases: Indices

    def name(self, unit: int) -> str:
        return f"layer {self.number} unit {unit + 1}"

    def own(self, unit: int) -> Indices:
        return np.concatenate([self.incoming[:, unit], self.outgoing[:, unit]])

    def rescaling(self, unit: int) -> Array:
        """Return the direction (w, b, -outgoing weights), without effect where a(c z) = c a(z)."""
        direction = np.zeros_like(self.theta)
        direction[self.incoming[:, unit]] = self.theta[self.incoming[:, unit]]
        direction[self.outgoing[:, unit]] = -self.theta[self.outgoing[:, unit]]
        return direction / max(float(np.linalg.norm(direction)), TINY)


@np.errstate(over="ignore", invalid="ignore")  # a measure that overflows is above its limit
def null_units(
    net: Network,
    theta: Array,
    null_vectors: Array,
    *,
    share: float = 0.9,
    tolerances: UnitTolerances | None = None,
) -> tuple[UnitFinding, ...]:
    """Name the hidden units that carry the right null vectors of D, and why.

    Parameters
    ----------
    net : Network
    theta : (K,) ndarray
    null_vectors : (K, m) or (K,) ndarray
        Orthonormal columns z with D z = 0, or nearly so at the end of a path.
    share : float
        In (0.5, 1]: fraction of |z|^2 that must lie on the parameters which a kind of degeneracy moves; all of it
        (to 1e-6) for K > n or m > K/2.
    tolerances : UnitTolerances, optional

    Returns
    -------
    tuple of UnitFinding
        Single units first, then pairs; null vectors that fit no kind give one UNCLASSIFIED finding which
        names their carriers. The rescalings that every relu or linear network has are no finding.

    Raises
    ------
    ProblemError
        If theta or the null vectors do not fit, the latter are not orthonormal, or share is outside (0.5, 1].

    Notes
    -----
    Only the space spanned by the null vectors matters, not their choice (pass all of them: those of a relu
    network include the rescalings). Most kinds are those of mathematics, §1.

    Examples
    --------
    >>> import numpy as np
    >>> from subriem.flows.network import network
    >>> net = network([1, 2, 1], np.linspace(-1, 1, 9)[:, None])
    >>> theta = net.pack({"W1": [[1], [0]], "b1": [0.2, 0.7], "W2": [[1, 2]], "b2": [0]})
    >>> z = net.pack({"W1": [[0], [0]], "b1": [0, 0], "W2": [[0, 1]], "b2": [-np.tanh(0.7)]})
    >>> found = null_units(net, theta, z / np.linalg.norm(z))
    >>> print(found[0].sentence())
    unit constant on all samples: layer 1 unit 2
    (spread of the activation 0.0e+00, limit 0.15; 100 % of the null vector)
    """
    z = _null_space(net, null_vectors)
    if not 0.5 < share <= 1.0:
        raise ProblemError("share is not a majority", repr(share), "0.5 < share <= 1", "share=0.9")
    layers = list(_layers(net, theta))
    explained = np.zeros((z.shape[1], 0))
    claimed = np.zeros(net.n_in, dtype=bool)
    # on more than `room` = rank D parameters lies some null vector whatever the cause; for K > n, and where null
    # vectors abound, most are no fault of a unit, and only what fits a small support exactly stands out
    needed, room = share, net.n_in - z.shape[1]
    if net.n_in > net.n_out or z.shape[1] > room:
        needed, room = EXACT, room // 2
    findings: list[UnitFinding] = []
    for suspect in _suspects(net, layers, tolerances or UnitTolerances()):
        carried, vectors = suspect.captured(z, needed, room)
        new = _outside(vectors, explained)
        members = [float(np.sum((z[part] @ new) ** 2)) for part in suspect.members]
        if new.shape[1] == 0 or min(members, default=np.inf) < MEMBER * new.shape[1]:
            continue
        explained = np.hstack([explained, new])
        if suspect.direction is None:
            # what lies on the parameters of all findings together needs no further cause
            claimed[suspect.support] = True
            more = _outside(_captured(z[claimed], EXACT)[1], explained)
            explained, new = np.hstack([explained, more]), np.hstack([new, more])
        if suspect.measure:
            _report(findings, suspect, carried, new.shape[1])
    rest = z @ _outside(np.eye(z.shape[1]), explained)
    if rest.shape[1]:
        findings.append(_unclassified(net, layers, rest, share))
    return tuple(findings)


def _report(findings: list[UnitFinding], suspect: _Suspect, carried: float, directions: int) -> None:
    """Append a finding, or add the directions to the last one if it is about the same units."""
    if findings and (findings[-1].kind, findings[-1].units) == (suspect.kind, suspect.units):
        last = findings.pop()
        carried, directions = min(last.share, carried), last.directions + directions
    kind, units, measure = suspect.kind, suspect.units, suspect.measure
    findings.append(UnitFinding(kind, units, carried, measure, suspect.value, suspect.limit, directions))


# -- what the units show -----------------------------------------------------------------------------------


def _layers(net: Network, theta: Array) -> Iterator[_Layer]:
    activations, slopes = net.hidden(theta)
    theta, below = np.asarray(theta, dtype=np.float64), net.inputs
    if not np.isfinite(theta).all():
        raise ProblemError("theta is not finite", "NaN or inf", "finite parameters", "an earlier point of the path")
    weights, biases = net.layout.indices
    for layer, (a, slope) in enumerate(zip(activations, slopes, strict=True)):
        incoming, outgoing = weights[layer].T, weights[layer + 1]
        z = below @ theta[incoming]
        own_biases, next_biases = np.zeros((0, a.shape[1]), dtype=np.intp), np.zeros(0, dtype=np.intp)
        if net.biases:
            own_biases, next_biases = biases[layer][None, :], biases[layer + 1]
            incoming = np.vstack([incoming, own_biases])
            z += theta[biases[layer]]
        sizes = np.sqrt(np.mean(a**2, axis=0))
        effects, scale = sizes * np.linalg.norm(theta[outgoing], axis=0), max(float(sizes.max()), TINY)
        defects = np.sqrt(np.mean((a - z * slope) ** 2, axis=0)) / np.maximum(sizes, TINY)
        measures = effects / max(float(effects.max()), TINY), np.std(a, axis=0) / scale, defects
        indices = incoming, outgoing, own_biases, next_biases
        yield _Layer(layer + 1, a, slope / net.rule.steepest, *measures, theta, *indices)
        below = a


def _suspects(net: Network, layers: list[_Layer], tolerances: UnitTolerances) -> Iterator[_Suspect]:
    """Yield what the measures allow: single units before pairs."""
    for layer in layers if net.activation in ("relu", "linear") else ():
        for unit in range(layer.slopes.shape[1]):
            # a symmetry of every such network: explained, but no finding, hence without a measure
            own, direction = layer.own(unit), layer.rescaling(unit)
            yield _Suspect(UnitClass.RESCALING, (), own, "", 0.0, 0.0, direction=direction)
    for layer in layers:
        for unit in range(layer.slopes.shape[1]):
            allowed = [s for s in _single(layer, unit, tolerances) if s.value <= s.limit]
            yield from sorted(allowed, key=lambda s: s.value / s.limit if s.limit else 0.0)
    for layer in layers:
        yield from _pairs(layer, tolerances)


def _single(layer: _Layer, unit: int, tolerances: UnitTolerances) -> Iterator[_Suspect]:
    """Yield every measure of one unit, whether or not it is within its limit."""
    a, slopes = layer.activations[:, unit], np.sort(layer.slopes[:, unit])[::-1]
    incoming, outgoing, own = layer.incoming[:, unit], layer.outgoing[:, unit], layer.own(unit)
    units = (layer.name(unit),)
    effect, spread, defect = (float(measure[unit]) for measure in (layer.effects, layer.spreads, layer.defects))
    if not a.any() and not slopes.any():
        yield _Suspect(UnitClass.DEAD, units, own, "largest activation", 0.0, 0.0)
    yield _Suspect(UnitClass.DEAD, units, incoming, "relative effect", effect, tolerances.outgoing)
    if spread <= tolerances.spread and slopes[0] <= tolerances.saturated:
        kind, largest, limit = UnitClass.SATURATED, float(slopes[0]), tolerances.saturated
        support = np.concatenate([own, layer.next_biases])
        yield _Suspect(kind, units, support, "largest slope", largest, limit, (own,))
        return
    # where the activation is the same for all samples, its bias, its outgoing weights and the next biases all
    # move the next layer by a constant
    mover = np.concatenate([layer.biases[:, unit], outgoing])
    support = np.concatenate([mover, layer.next_biases])
    kind, name = UnitClass.CONSTANT, "spread of the activation"
    yield _Suspect(kind, units, support, name, spread, tolerances.spread, (mover,))
    count = incoming.size
    last = float(slopes[count - 1]) if count <= slopes.size else 0.0
    flat = layer.slopes[:, unit] <= tolerances.saturated
    both_plateaus = bool(flat.any()) and float(np.ptp(a[flat])) > float(np.ptp(a)) / 2
    kind = UnitClass.STEP if both_plateaus else UnitClass.SPARSE
    name = f"slope number {count} of {slopes.size} samples"
    yield _Suspect(kind, units, incoming, name, last, tolerances.slope)
    name, limit = "departure from a(cz) = c a(z)", tolerances.homogeneity
    if defect <= limit:
        direction = layer.rescaling(unit)
        yield _Suspect(UnitClass.RESCALING, units, own, name, defect, limit, direction=direction)


def _pairs(layer: _Layer, tolerances: UnitTolerances) -> Iterator[_Suspect]:
    signs, sines = _angles(layer.activations)
    if layer.next_biases.size:
        # the next biases take over any constant, so that only the deviations from the means must agree
        centred_signs, centred = _angles(layer.activations - layer.activations.mean(axis=0))
        signs, sines = np.where(centred < sines, centred_signs, signs), np.minimum(centred, sines)
    pairs = np.argwhere(np.triu(sines <= tolerances.angle, 1))
    name, limit = "sine between the activations", tolerances.angle
    for i, j in sorted(pairs.tolist(), key=lambda pair: float(sines[*pair])):
        sine, units = float(sines[i, j]), (layer.name(i), layer.name(j))
        kind = UnitClass.MERGING if signs[i, j] > 0 else UnitClass.OPPOSITE
        parts = layer.outgoing[:, i], layer.outgoing[:, j]
        support = np.concatenate([*parts, layer.next_biases])
        yield _Suspect(kind, units, support, name, sine, limit, parts)
        if sine <= tolerances.coincidence:
            parts = layer.own(i), layer.own(j)
            support = np.concatenate([*parts, layer.next_biases])
            yield _Suspect(kind, units, support, name, sine, limit, parts)


def _angles(a: Array) -> tuple[Array, Array]:
    """Return the signs of the cosines, and the sines, between the columns of a; sine 1 with a zero column."""
    directions = a / np.maximum(np.linalg.norm(a, axis=0), TINY)
    cosines = directions.T @ directions
    return np.sign(cosines), np.sqrt(np.maximum(1.0 - cosines**2, 0.0))


# -- what the null vectors show ----------------------------------------------------------------------------


def _null_space(net: Network, null_vectors: Array) -> Array:
    z = np.asarray(null_vectors)
    if z.dtype.kind not in "fiu" or z.ndim not in (1, 2) or z.shape[0] != net.n_in:
        got, expected = f"shape {z.shape}, dtype {z.dtype}", f"real, shape ({net.n_in}, m) or ({net.n_in},)"
        raise ProblemError("the null vectors do not fit the network", got, expected, "one column each")
    z = z.reshape(net.n_in, -1).astype(np.float64, copy=False)
    defect = float(np.abs(z.T @ z - np.eye(z.shape[1])).max(initial=0.0))
    if not defect <= ORTHONORMAL:
        got, expected = f"an entry of Z^T Z - 1 is {defect:.1e}", f"at most {ORTHONORMAL:.0e}"
        raise ProblemError("the null vectors are not orthonormal", got, expected, "singular vectors of D")
    return z


def _outside(vectors: Array, explained: Array) -> Array:
    """Return an orthonormal basis of what the vectors (m, d) span outside the explained ones (m, e)."""
    rest = vectors - explained @ (explained.T @ vectors)
    values, inner = np.linalg.eigh(rest.T @ rest)
    kept = values > NEW
    return rest @ (inner[:, kept] / np.sqrt(values[kept]))


def _unclassified(net: Network, layers: list[_Layer], rest: Array, share: float) -> UnitFinding:
    """Name a small set of units that carries the null vectors `rest` (K, d), the heaviest first."""
    carriers = {layer.name(j): layer.own(j) for layer in layers for j in range(layer.slopes.shape[1])}
    owned = np.zeros(net.n_in, dtype=bool)
    for indices in carriers.values():
        owned[indices] = True
    # no hidden unit owns the biases of the output layer, nor anything of an affine map
    weights, biases = net.layout.indices
    for output in range(net.widths[-1]):
        indices = np.concatenate([weights[-1][output], *(b[output : output + 1] for b in biases[-1:])])
        carriers[f"output {output + 1}"] = indices[~owned[indices]]
    mass = np.sum(rest**2, axis=1) / rest.shape[1]
    names: list[str] = []
    carried = 0.0
    while carried < share and len(names) < len(carriers):
        name = max(carriers, key=lambda name: float(mass[carriers[name]].sum()))
        carried += float(mass[carriers[name]].sum())
        mass[carriers[name]] = 0.0
        names.append(name)
    return UnitFinding(UnitClass.UNCLASSIFIED, tuple(names), min(carried, 1.0), "", np.nan, np.nan, rest.shape[1])
