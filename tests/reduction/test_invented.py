"""Systems that are not in the zoo, against numbers found without `reduce`.

Linear ones E y' + A y = f: Wong's sequence of subspaces ends after as many steps as the index says, and its dimension
is what the freedom leaves. Nonlinear ones: counted by hand in each comment.
"""

import casadi as ca
import numpy as np
import pytest
from scipy.linalg import block_diag, eigvals, orth

import subriem as sr

#: Singular values below this share of the largest one are zero.
ZERO = 1e-9


def pencil_numbers(E, A):
    """Return the index and the freedom of a regular pencil, from Wong's sequence W = {0}, then E^-1 (A W)."""
    space, dimensions = np.zeros((len(E), 0)), [0]
    while True:
        image = orth(A @ space, rcond=ZERO) if space.shape[1] else space
        _, sigma, right = np.linalg.svd(E - image @ (image.T @ E))
        space = right[(sigma > ZERO * np.linalg.norm(E)).sum() :].T
        if space.shape[1] == dimensions[-1]:
            return len(dimensions) - 1, len(E) - space.shape[1]
        dimensions.append(space.shape[1])


def linear(E, A, forces=0.0):
    return sr.DAE.from_mass_matrix(E, lambda t, y: forces * ca.sin(t + ca.DM(range(len(E)))) - ca.DM(A) @ y)


def weierstrass(finite, chains, seed):
    """A pencil of given form in random coordinates of condition below 100."""
    rng = np.random.default_rng(seed)
    n = finite + sum(chains)
    E = block_diag(np.eye(finite), *(np.eye(k, k=1) for k in chains))
    A = block_diag(rng.standard_normal((finite, finite)), *(np.eye(k) for k in chains))
    left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] * rng.uniform(0.3, 3, n) for _ in range(2))
    return left.T @ E @ right, left.T @ A @ right


LONG = [(2, (3, 2, 1)), (4, (2, 2)), (1, (4,)), (3, (5,))]
FORMS = [(3, (1, 1)), (2, (2,)), (0, (3, 1)), *(pytest.param(*form, marks=pytest.mark.slow) for form in LONG)]


@pytest.mark.parametrize(("finite", "chains"), FORMS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_pencils_in_random_coordinates(finite, chains, seed):
    E, A = weierstrass(finite, chains, seed)
    assert pencil_numbers(E, A) == (max(chains), finite)  # the oracle itself
    red = sr.reduce(linear(E, A, 1.0))
    assert (red.index, red.index_kind, red.degrees_of_freedom) == (max(chains), "differentiation", finite)
    theirs = eigvals(-A, E)
    theirs = theirs[np.isfinite(theirs) & (np.abs(theirs) < 1e2)]
    for value in red.linearize().eigenvalues:
        assert np.abs(theirs - value).min() < 1e-6


def nodal(n, elements):
    """Return E, A of modified nodal analysis, unknowns the n potentials, then the currents of sources and coils."""
    extra = [e for e in elements if e[0] in "VL"]
    E, A = (np.zeros((n + len(extra),) * 2) for _ in range(2))
    for kind, a, b, value in elements:
        incidence = np.zeros(n)
        for node, sign in ((a, 1), (b, -1)):
            if node:
                incidence[node - 1] = sign
        if kind in "VL":
            k = n + extra.index((kind, a, b, value))
            A[:n, k], A[k, :n] = incidence, -incidence if kind == "L" else incidence
            E[k, k] = value if kind == "L" else 0.0
        else:
            (E if kind == "C" else A)[:n, :n] += value * np.outer(incidence, incidence)
    return E, A


CIRCUITS = {
    # a loop of a source and two capacitors, and a cutset of coils: index 2
    "loop of capacitors": (
        3,
        [("V", 1, 0, 1.0), ("C", 1, 2, 2.0), ("C", 2, 0, 3.0), ("R", 2, 3, 0.5), ("L", 3, 0, 1.0)],
    ),
    "cutset of coils": (3, [("V", 1, 0, 1.0), ("R", 1, 2, 1.0), ("L", 2, 3, 1.5), ("L", 3, 0, 2.0), ("C", 2, 0, 1.0)]),
    "ladder": (
        4,
        [("V", 1, 0, 1.0), *[("R", k, k + 1, 2.0) for k in (1, 2, 3)], *[("C", k, 0, 0.7) for k in (2, 3, 4)]],
    ),
    "bridge": (
        3,
        [("V", 1, 0, 1.0), ("R", 1, 2, 1.0), ("R", 1, 3, 2.0), ("C", 2, 3, 1.0), ("R", 2, 0, 3.0), ("L", 3, 0, 1.0)],
    ),
    "two meshes of sources": (
        4,
        [("V", 1, 0, 1.0), ("V", 2, 1, 1.0), ("C", 2, 3, 1.0), ("C", 3, 0, 2.0), ("L", 3, 4, 1.0), ("R", 4, 0, 1.0)],
    ),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits(name):
    E, A = nodal(*CIRCUITS[name])
    red = sr.reduce(linear(E, A, 1.0))
    assert (red.index, red.degrees_of_freedom) == pencil_numbers(E, A)
    assert red.index_kind == "differentiation"


def test_a_pencil_that_is_singular_is_no_determined_system():
    E, A = weierstrass(2, (2,), 0)
    E[:, -1] = A[:, -1] = 0.0
    with pytest.raises(sr.SubriemError):
        sr.reduce(linear(E, A))


# --- nonlinear ones ---------------------------------------------------------------------------------------------------


@sr.dae(variables="x1 x2 x3 T u")
def reactor(t, v, d, p):
    # a prescribed concentration x1: T from x1', u from T': index 3 counting u'; x2 and x3 are free
    rate = ca.exp(-1 / v.T) * v.x1
    return {
        "x1": d(v.x1) - 1 + v.x1 + rate,
        "x2": d(v.x2) - rate + v.x2**2,
        "x3": d(v.x3) - v.x2**2 + v.x3,
        "T": d(v.T) - rate - v.u,
        "wanted": v.x1 - 0.5 - 0.1 * ca.sin(t),
    }


@sr.dae(variables="x1 x2 x3 x4 x5 u")
def path_of_five(t, v, d, p):
    # u through four integrations behind a path: x2, x3, x4 and u from four derivatives, u' from the fifth; x5 is free
    return {
        "path": v.x1 - ca.cos(t),
        "1": d(v.x1) - v.x2 * (2 + ca.sin(v.x1)),
        "2": d(v.x2) - v.x3 - v.x1 * v.x2,
        "3": d(v.x3) - v.x4 / (1 + v.x2**2),
        "4": d(v.x4) - v.u - ca.tanh(v.x3),
        "5": d(v.x5) + v.x5 - v.x4,
    }


@sr.dae(variables="x y z lam mu")
def two_surfaces(t, v, d, p):
    # a bead on the curve x^2 + y^2 = 1, z = x y: 3 - 2 = 1 coordinate and its speed
    return {
        "x": d(v.x, 2) + 2 * v.lam * v.x - v.mu * v.y,
        "y": d(v.y, 2) + 2 * v.lam * v.y - v.mu * v.x,
        "z": d(v.z, 2) + v.mu + 9.81,
        "cylinder": v.x**2 + v.y**2 - 1,
        "saddle": v.z - v.x * v.y,
    }


@sr.dae(variables="a b c lam1 lam2")
def four_bar(t, v, d, p):
    # three angles, two closing conditions: one coordinate and its speed
    across = ca.cos(v.a) + 2 * ca.cos(v.b) - 1.5 * ca.cos(v.c) - 2
    up = ca.sin(v.a) + 2 * ca.sin(v.b) - 1.5 * ca.sin(v.c)
    rows = {}
    for name, mass in (("a", 1.0), ("b", 2.0), ("c", 1.5)):
        q = v[name]
        force = ca.jacobian(across, q) * v.lam1 + ca.jacobian(up, q) * v.lam2
        rows[name] = mass * d(q, 2) + 0.3 * ca.cos(q) + force
    return {**rows, "across": across, "up": up}


@sr.dae(variables="x theta f")
def crane(t, v, d, p):
    # the load of a trolley held on a path: x + sin theta = s(t). f from the second derivative of the path, in which it
    # stands through x'' + cos theta theta'' = f - f cos^2 theta + …: index 3, and theta, theta' are left: freedom 2
    return {
        "trolley": d(v.x, 2) - v.f,
        "load": d(v.theta, 2) + v.f * ca.cos(v.theta) + 9.81 * ca.sin(v.theta),
        "path": v.x + ca.sin(v.theta) - 0.1 * ca.sin(t),
    }


@sr.dae(variables="x y p q u")
def elastic_joint(t, v, d, p):
    # a motor y behind a spring that must move the link x along a path: y from x'', u from y'' = x'''', u' one more: 5;
    # p, q follow the motor
    return {
        "link": d(v.x, 2) - (v.y - v.x) - 0.1 * ca.sin(v.x),
        "motor": d(v.y, 2) + (v.y - v.x) - v.u,
        "path": v.x - ca.sin(2 * t),
        "p": d(v.p) + v.p - v.y,
        "q": d(v.q) + v.q**3 - v.p * v.y,
    }


@sr.dae(variables="v i1 i2 w")
def diode_loop(t, v, d, p):
    # i1, i2, w from v: index 1, and one charge
    return {
        "charge": d(v.v) + v.i1 + v.i2,
        "diode": v.i1 - 1e-3 * (ca.exp(5 * v.v) - 1),
        "cube": v.i2 - v.w**3 - v.w,
        "node": v.w - v.v + 0.1 * v.i2,
    }


@sr.dae(variables="x y u")
def rolling_contact(t, v, d, p):
    # the constraint holds speeds and multiplies u in the rates: u from one derivative, u' from two: index 2, x, y - 1
    return {"x": d(v.x) - v.y - v.u, "y": d(v.y) + ca.sin(v.x) - v.u * v.x, "energy": v.y**2 + 2 * (v.x - 1) ** 2 - 2}


@sr.dae(variables="x y z")
def implicit_rates(t, v, d, p):
    # x' and y' only in one combination, whose other equation is algebraic: y - x^2 = w is hidden
    rate = d(v.x) + d(v.y)
    return {"one": rate + v.x - v.z, "two": 2 * rate + v.y - 2 * v.z + ca.cos(t), "three": d(v.z) + v.x * v.z}


NONLINEAR = {
    "reactor": (reactor, {"x1": 0.5, "T": -1 / np.log(0.8), "x2": 0.2, "x3": 0.1}, 3, 2),
    "path of five": (path_of_five, {"x1": 1.0, "x5": 0.3}, 5, 1),
    "two surfaces": (two_surfaces, {"x": 0.6, "y": 0.8}, 3, 2),
    "four bars": (four_bar, {"a": 1.2}, 3, 2),
    "crane": (crane, {"theta": 0.2, "x": -np.sin(0.2)}, 3, 2),
    "elastic joint": (elastic_joint, {"x": 0.0, "p": 0.1, "q": 0.2}, 5, 2),
    "diode": (diode_loop, {"v": 0.3}, 1, 1),
    "contact": (rolling_contact, {"x": 1.5, "y": np.sqrt(1.5)}, 2, 1),
    "implicit rates": (implicit_rates, {"x": 0.4, "z": 0.5}, 1, 2),
}


def array_numbers(dae, red, times):
    """Return what the derivative array of a point leaves open of y', and the number of its equations between states.

    Ranks by NumPy from the array itself, in jets that continue those of the point by Newton's method.
    """
    from subriem.reduction.prolongation import Prolongation

    orders = dae.orders
    state = [max(order, 1) for order in orders]
    system = Prolongation(dae, [times] * len(dae.equations), [order + times for order in orders])
    known = dict(zip(red.consistent.columns, red.consistent.jets, strict=True))
    jets = np.array([known.get(place, 0.0) for place in system.columns])
    open_ = [n for n, place in enumerate(system.columns) if place not in known]
    for _ in range(30):
        matrix = system.jacobian(0.0, jets, dae.data(0.0))[:, open_]
        jets[open_] -= np.linalg.pinv(matrix, rcond=1e-9) @ system.residual(0.0, jets, dae.data(0.0))
    assert np.abs(system.residual(0.0, jets, dae.data(0.0))).max() < 1e-7
    matrix = system.jacobian(0.0, jets, dae.data(0.0))[:, :-1]
    level = np.array([k - state[j] for j, k in system.columns])

    def rank(block):
        if not block.size:
            return 0
        sigma = np.linalg.svd(block / np.maximum(np.abs(block).max(axis=1, keepdims=True), 1e-30), compute_uv=False)
        return int((sigma > ZERO * sigma[0]).sum())

    rates, above = rank(matrix[:, level >= 0]), rank(matrix[:, level > 0])
    return len(orders) - (rates - above), rank(matrix) - rates, sum(state)


@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_systems(name):
    dae, at, index, freedom = NONLINEAR[name]
    red = sr.reduce(dae, at=at)
    assert (red.index, red.index_kind, red.degrees_of_freedom) == (index, "differentiation", freedom)
    assert red.consistent.moved < 1e-12
    open_, constraints, states = array_numbers(dae, red, index)
    assert (open_, states - constraints) == (0, freedom)
    if index:
        assert array_numbers(dae, red, index - 1)[0] > 0
