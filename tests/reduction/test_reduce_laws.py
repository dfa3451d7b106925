"""What `reduce` says does not depend on how a DAE is written."""

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import subriem as sr
from subriem.zoo.dae import get
from tests.reduction.transform import rewritten, start

#: Determined, of index 0 to 3, with hidden and with redundant equations.
NAMES = ["pendulum-1", "slider-crank", "knife-edge", "robertson", "jay", "pair", "transistor", "reissig-2", "cycloid"]
COPIES = ["pendulum-twice", "saddle", "oscillator-with-energy"]
ORIGINAL = {name: sr.reduce(get(name).dae, at=get(name).at) for name in (*NAMES, *COPIES)}
LAW = settings(max_examples=6, deadline=None)
names, seeds = st.sampled_from(NAMES), st.integers(0, 10**6)
#: The wire of the cycloid holds its parameter nonlinearly: mixed with other equations it cannot be combined.
mixable = st.sampled_from([name for name in NAMES if name != "cycloid"])


def motion(red, dae, matrix=None):
    """Return the values of all variables of the original DAE, and of their first derivatives where they are known."""
    values = {place: red.consistent.jets[n] for n, place in enumerate(red.consistent.columns)}
    mix = np.eye(len(dae.variables)) if matrix is None else matrix
    found = {}
    for k in (0, 1):
        for name, row in zip(dae.variables, mix, strict=True):
            entries = [(i, k) for i in np.flatnonzero(row)]
            if all(entry in values for entry in entries):
                found[name, k] = sum(row[i] * values[i, k] for i, _ in entries)
    return found


def agrees(name, dae, *, known=None, matrix=None, index=True, rel=1e-7):
    """Reduce a rewritten problem and compare index, freedom and consistent motion."""
    problem, base = get(name), ORIGINAL[name]
    red = sr.reduce(dae, at=start(problem.dae, known or problem.start, matrix=matrix))
    assert not red.certificate.hidden
    assert red.degrees_of_freedom == base.degrees_of_freedom
    if index:
        assert (red.index, red.index_kind) == (base.index, "differentiation")
    there, here = motion(red, problem.dae, matrix), motion(base, problem.dae)
    assert there.keys() >= {key for key in here if key[1] == 0}
    for key in here.keys() & there.keys():
        assert there[key] == pytest.approx(here[key], rel=rel, abs=rel)
    return red


def other_rows(rows, rng):
    return rng.choice(len(rows), 2, replace=False)


@LAW
@given(st.sampled_from(NAMES + COPIES), seeds)
def test_scaled_equations(name, seed):
    rng = np.random.default_rng(seed)
    red = agrees(name, rewritten(get(name).dae, lambda rows, _: [(n, 10 ** rng.uniform(-6, 6) * e) for n, e in rows]))
    assert red.redundant == ORIGINAL[name].redundant
    assert red.invariant == ORIGINAL[name].invariant


@LAW
@given(st.sampled_from(NAMES + COPIES), seeds)
def test_permuted_equations_and_variables(name, seed):
    rng = np.random.default_rng(seed)
    problem, n = get(name), len(get(name).dae.variables)
    matrix = np.eye(n)[rng.permutation(n)]
    dae = rewritten(problem.dae, lambda rows, _: [rows[i] for i in rng.permutation(len(rows))], matrix=matrix)
    red = agrees(name, dae, matrix=matrix)
    assert len(red.redundant + red.invariant) == len(problem.redundant)


@LAW
@given(names, seeds)
def test_a_repeated_equation_is_redundant(name, seed):
    rng = np.random.default_rng(seed)
    k, factor = rng.integers(len(get(name).dae.equations)), rng.choice([1.0, -1e3])
    red = agrees(name, rewritten(get(name).dae, lambda rows, _: [*rows, ("again", factor * rows[k][1])]))
    assert red.redundant == ("again",)
    assert red.free == ()


@LAW
@given(st.sampled_from([n for n in NAMES if n != "reissig-2"]), seeds)
def test_a_product_with_what_does_not_vanish(name, seed):
    k = seed % len(get(name).dae.equations)
    agrees(name, rewritten(get(name).dae, lambda rows, j: [*rows[:k], _times(rows[k], j), *rows[k + 1 :]]))
    red = agrees(name, rewritten(get(name).dae, lambda rows, j: [*rows, ("product", _times(rows[k], j)[1])]))
    assert len(red.redundant + red.invariant) == 1


def _times(row, jets):
    return row[0], row[1] * (2 + ca.sin(jets.t))


@LAW
@given(mixable, seeds)
def test_a_multiple_of_another_equation_added(name, seed):
    rng = np.random.default_rng(seed)

    def rows_of(rows, _):
        k, other = other_rows(rows, rng)
        return [(n, e + 1.7 * rows[other][1] if i == k else e) for i, (n, e) in enumerate(rows)]

    agrees(name, rewritten(get(name).dae, rows_of))


@LAW
@given(mixable, seeds)
def test_a_derivative_of_another_equation_added_or_appended(name, seed):
    """The index may differ: it counts differentiations of the equations as they stand."""
    rng = np.random.default_rng(seed)

    def added(rows, jets):
        k, other = other_rows(rows, rng)
        return [(n, e + 0.7 * jets.derivative(rows[other][1]) if i == k else e) for i, (n, e) in enumerate(rows)]

    agrees(name, rewritten(get(name).dae, added), index=False)
    k = rng.integers(len(get(name).dae.equations))
    red = agrees(
        name, rewritten(get(name).dae, lambda rows, jets: [*rows, ("rate", jets.derivative(rows[k][1]))]), index=False
    )
    assert len(red.redundant + red.invariant) == 1


@LAW
@given(names, seeds)
def test_other_variables_of_the_same_orders(name, seed):
    rng, problem, base = np.random.default_rng(seed), get(name), ORIGINAL[name]
    matrix = np.eye(len(problem.dae.variables))
    kinds = list(zip(base.system.d, problem.dae.orders, strict=True))
    for kind in set(kinds):
        group = [j for j, other in enumerate(kinds) if other == kind]
        turn = np.linalg.qr(rng.standard_normal((len(group), len(group))))[0]
        matrix[np.ix_(group, group)] = turn * rng.uniform(0.7, 1.4, len(group))
    agrees(name, rewritten(problem.dae, matrix=matrix), known=base.point, matrix=matrix)


@LAW
@given(names, seeds)
def test_other_units(name, seed):
    rng, problem = np.random.default_rng(seed), get(name)
    matrix = np.diag(10 ** rng.uniform(-6, 6, len(problem.dae.variables)))
    agrees(name, rewritten(problem.dae, matrix=matrix), known=ORIGINAL[name].point, matrix=matrix, rel=1e-5)


def test_an_energy_appended_restricts_the_start_only():
    def appended(rows, jets):
        kinetic = (jets(0, 1) ** 2 + jets(1, 1) ** 2) / 2
        return [*rows, ("energy", kinetic + 9.81 * jets(1))]  # released at rest from y = 0

    problem = get("pendulum-1")
    red = sr.reduce(rewritten(problem.dae, appended), at=start(problem.dae, problem.start))
    assert {*red.redundant, *red.invariant} == {"energy"}


def test_units_far_apart_at_a_high_index():
    problem = get("reissig-5")
    matrix = np.diag(np.where(np.arange(len(problem.dae.variables)) % 2, 1e6, 1e-6))
    red = sr.reduce(rewritten(problem.dae, matrix=matrix), at=start(problem.dae, problem.start, matrix=matrix))
    assert (red.index, red.index_kind, red.degrees_of_freedom) == (1, "differentiation", 5)
