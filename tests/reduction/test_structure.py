"""The structure of known systems, against brute force on small ones, and its laws on any."""

from itertools import permutations, product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subriem.core.errors import ProblemError
from subriem.reduction.digraph import ordered_components
from subriem.reduction.matching import heaviest_matching, largest_matching
from subriem.reduction.structure import Sigma, analyse
from tests.reduction.signatures import KNOWN, SLIDER_CRANK, chain, pendulum, structure

ABSENT = -1


def from_dense(orders) -> Sigma:
    """Return the matrix of a dense array, in which -1 is absent."""
    rows, cols = np.nonzero(orders != ABSENT)
    return Sigma.from_entries(rows, cols, orders[rows, cols], orders.shape)


def dense(sigma: Sigma):
    orders = np.full(sigma.shape, ABSENT)
    orders[sigma.rows, sigma.cols] = sigma.orders
    return orders


@st.composite
def systems(draw, largest=4, regular=False):
    m = draw(st.integers(1, largest))
    n = m if regular else draw(st.integers(1, largest))
    order = st.sampled_from([ABSENT, ABSENT, 0, 1, 2, 3])
    orders = np.array(draw(st.lists(order, min_size=m * n, max_size=m * n))).reshape(m, n)
    if regular:
        match = np.array(draw(st.permutations(range(m))))
        orders[np.arange(m), match] = np.maximum(orders[np.arange(m), match], 0)
    return orders


# --- known problems -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_index_and_freedom_of_known_problems(name):
    equations, index, freedom = KNOWN[name]
    found = structure(equations)
    assert (found.index, found.freedom) == (index, freedom)
    assert not found.over
    assert not found.under
    assert sum(block.size for block in found.blocks) == len(equations)


def test_offsets_of_the_slider_crank():
    found = structure(SLIDER_CRANK)
    assert dict(zip(found.equations, found.c.tolist(), strict=True)) == dict.fromkeys(SLIDER_CRANK, 0) | {
        "crank": 2, "rod": 2, "slide": 2,
    }  # fmt: skip
    assert [v for v, d in zip(found.variables, found.d, strict=True) if d == 0] == ["lam1", "lam2", "lam3"]


def test_three_rods_are_one_too_many_for_two_coordinates():
    found = structure(pendulum(3))
    assert found.over.equations == ("rod0", "rod1", "rod2")
    assert found.over.variables == ("x", "y")
    assert found.under.equations == ("horizontal", "vertical")
    assert found.under.variables == ("lam0", "lam1", "lam2")
    assert found.blocks == ()
    # the rod without a coordinate of its own is differentiated along with the others
    np.testing.assert_array_equal(found.c, [0, 0, 2, 2, 2])
    assert sorted(found.match[2:]) == [-1, found.variables.index("x"), found.variables.index("y")]


def test_what_concerns_nothing_is_named():
    found = analyse(Sigma.from_entries([0], [1], [1], (2, 3)), ["motion", "empty"], ["p", "x", "q"])
    assert (found.over.equations, found.over.variables) == (("empty",), ())
    assert (found.under.equations, found.under.variables) == ((), ("p", "q"))
    assert [block.equations for block in found.blocks] == [("motion",)]
    assert found.c.tolist() == [0, 0]
    assert found.d.tolist() == [0, 1, 0]


@pytest.mark.parametrize("shape", [(0, 0), (0, 2), (2, 0), (2, 2)])
def test_systems_without_entries(shape):
    found = analyse(Sigma.from_entries([], [], [], shape))
    assert found.over.rows.size == shape[0]
    assert found.under.cols.size == shape[1]
    assert (found.index, found.freedom, found.blocks) == (int(shape[1] > 0), 0, ())
    assert str(found)


def test_a_differential_variable_is_matched_before_an_algebraic_one():
    found = structure({"motion": "u:0 x:1"})
    assert found.variables[found.match[0]] == "x"
    assert found.under.variables == ("u", "x")
    assert found.freedom == 1
    over = structure({"value": "x:0", "motion": "x:1"})
    assert over.match.tolist() == [-1, 0]
    assert over.c.tolist() == [1, 0]  # x = 0, x' = 1: differentiated once the first speaks of x' too


def test_unmatched_equations_are_differentiated_along_with_the_others():
    found = structure({"value": "x:0", "speed": "x:1", "force": "x:2", "also": "x:2"})
    assert found.c.tolist() == [2, 1, 0, 0]
    found = structure({"a": "x:2 y:0", "b": "y:1", "c": "x:2 y:3"})
    assert found.match.tolist() == [0, -1, 1]
    assert found.c.tolist() == [0, 2, 0]


# --- brute force --------------------------------------------------------------------------------------------


def matchings(orders):
    """Yield all matchings, a column or -1 for each row."""
    m, n = orders.shape
    for match in product(range(-1, n), repeat=m):
        taken = [j for j in match if j >= 0]
        if len(set(taken)) == len(taken) and all(orders[i, j] >= 0 for i, j in enumerate(match) if j >= 0):
            yield match


@settings(max_examples=40, deadline=None)
@given(systems())
def test_matching_and_parts_are_those_of_an_exhaustive_search(orders):
    m, n = orders.shape
    everything = list(matchings(orders))
    size = max(sum(j >= 0 for j in match) for match in everything)
    largest = [match for match in everything if sum(j >= 0 for j in match) == size]
    heaviest = max(sum(orders[i, j] for i, j in enumerate(match) if j >= 0) for match in largest)
    found = analyse(from_dense(orders))
    assert tuple(found.match.tolist()) in largest
    assert found.freedom == heaviest
    # over: equations some largest matching leaves out, and their variables; under: likewise with the sides exchanged
    over = [i for i in range(m) if any(match[i] < 0 for match in largest)]
    under = [j for j in range(n) if any(j not in match for match in largest)]
    assert found.over.rows.tolist() == over
    assert found.under.cols.tolist() == under
    assert found.over.cols.tolist() == [j for j in range(n) if any(orders[i, j] >= 0 for i in over)]
    assert found.under.rows.tolist() == [i for i in range(m) if any(orders[i, j] >= 0 for j in under)]


def naive_offsets(orders, match):
    """Return the least offsets for a perfect matching by sweeps until nothing changes."""
    rows = np.arange(len(orders))
    values = np.where(orders < 0, -1000, orders)
    c = np.zeros(len(orders), dtype=int)
    while True:
        d = (values + c[:, None]).max(axis=0)
        new = d[match] - values[rows, match]
        if (new == c).all():
            return c, d
        c = new


@settings(max_examples=40, deadline=None)
@given(systems(largest=5, regular=True))
def test_transversal_and_offsets_of_regular_systems(orders):
    n = len(orders)
    transversals = [p for p in permutations(range(n)) if all(orders[i, p[i]] >= 0 for i in range(n))]
    best = max(transversals, key=lambda p: sum(orders[i, p[i]] for i in range(n)))
    found = analyse(from_dense(orders))
    c, d = naive_offsets(orders, np.array(best))  # the least offsets do not depend on the transversal
    np.testing.assert_array_equal(found.c, c)
    np.testing.assert_array_equal(found.d, d)
    assert found.freedom == d.sum() - c.sum() == sum(orders[i, best[i]] for i in range(n))


# --- laws ---------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(systems(largest=7))
def test_offsets_dominate_and_are_tight_on_the_matching(orders):
    found = analyse(from_dense(orders))
    slack = found.d - found.c[:, None] - orders
    present = orders >= 0
    assert (slack[present] >= 0).all()
    rows = np.flatnonzero(found.match >= 0)
    assert (slack[rows, found.match[rows]] == 0).all()
    assert (found.c >= 0).all()
    assert (found.d >= 0).all()
    for i in np.flatnonzero(found.match < 0):  # one more differentiation would raise some d_j
        assert not present[i].any() or (slack[i][present[i]] == 0).any()
    for j in set(range(orders.shape[1])) - set(found.match.tolist()):
        assert found.d[j] == max(0, *(found.c + orders[:, j])[present[:, j]], 0)


@settings(max_examples=40, deadline=None)
@given(systems(largest=7, regular=True))
def test_each_connected_part_has_an_equation_that_is_not_differentiated(orders):
    found = analyse(from_dense(orders))
    n = len(orders)
    graph = nx.Graph()
    graph.add_nodes_from(range(2 * n))
    graph.add_edges_from((i, n + j) for i, j in np.argwhere(orders >= 0).tolist())
    for part in nx.connected_components(graph):
        assert min(found.c[i] for i in part if i < n) == 0


@settings(max_examples=30, deadline=None)
@given(systems(largest=6), st.randoms(use_true_random=False))
def test_parts_and_freedom_do_not_depend_on_the_order(orders, random):
    p, q = (random.sample(range(k), k) for k in orders.shape)
    one, two = analyse(from_dense(orders)), analyse(from_dense(orders[np.ix_(p, q)]))
    assert one.freedom == two.freedom
    assert {p[i] for i in two.over.rows} == set(one.over.rows.tolist())
    assert {q[j] for j in two.under.cols} == set(one.under.cols.tolist())


@settings(max_examples=30, deadline=None)
@given(systems(largest=6, regular=True), st.randoms(use_true_random=False))
def test_offsets_and_blocks_do_not_depend_on_the_order(orders, random):
    p, q = (random.sample(range(k), k) for k in orders.shape)
    one, two = analyse(from_dense(orders)), analyse(from_dense(orders[np.ix_(p, q)]))
    assert one.index == two.index
    np.testing.assert_array_equal(one.c[p], two.c)
    np.testing.assert_array_equal(one.d[q], two.d)
    assert {frozenset(b.rows.tolist()) for b in one.blocks} == {frozenset(p[i] for i in b.rows) for b in two.blocks}


def system_jacobian(found, orders):
    """Return where J has entries, as a dense mask."""
    return (orders >= 0) & (orders == found.d - found.c[:, None])


@settings(max_examples=30, deadline=None)
@given(systems(largest=7))
def test_blocks_are_triangular_and_strongly_connected(orders):
    found = analyse(from_dense(orders))
    jacobian = system_jacobian(found, orders)
    parts = [found.over, *found.blocks, found.under]
    assert sorted(i for part in parts for i in part.rows) == list(range(orders.shape[0]))
    assert sorted(j for part in parts for j in part.cols) == list(range(orders.shape[1]))
    for k, block in enumerate(found.blocks):
        for later in found.blocks[k + 1 :]:
            assert not jacobian[np.ix_(block.rows, later.cols)].any()
        within = jacobian[np.ix_(block.rows, block.cols)]
        assert within.diagonal().all()
        assert nx.is_strongly_connected(nx.from_numpy_array(within, create_using=nx.DiGraph))
    # the coarse parts are triangular in sigma itself
    rest = np.setdiff1d(np.arange(orders.shape[1]), found.over.cols)
    assert (orders[np.ix_(found.over.rows, rest)] < 0).all()
    rest = np.setdiff1d(np.arange(orders.shape[0]), found.under.rows)
    assert (orders[np.ix_(rest, found.under.cols)] < 0).all()


@settings(max_examples=30, deadline=None)
@given(systems(largest=7))
def test_the_block_graph_leads_from_unknowns_to_their_users(orders):
    found = analyse(from_dense(orders))
    jacobian, graph = system_jacobian(found, orders), found.graph()
    assert [graph.nodes[k]["equations"] for k in graph] == [block.equations for block in found.blocks]
    assert [graph.nodes[k]["size"] for k in graph] == [len(block.variables) for block in found.blocks]
    pairs = permutations(enumerate(found.blocks), 2)
    uses = {(a, b) for (a, maker), (b, user) in pairs if jacobian[np.ix_(user.rows, maker.cols)].any()}
    assert set(graph.edges) == uses


@pytest.mark.parametrize("seed", range(40))
def test_prices_prove_the_heaviest_matching(seed):
    rng = np.random.default_rng(seed)
    m = rng.integers(2, 6)
    orders = rng.integers(-1, 3, (m, m + rng.integers(0, 3)))
    orders[np.arange(m), rng.permutation(m)] = 0
    sigma = from_dense(orders)
    match, u, v = heaviest_matching(sigma.rows, sigma.cols, sigma.orders, sigma.shape)
    assert (match >= 0).all()
    assert (u[:, None] + v >= orders)[orders >= 0].all()
    assert (v >= 0).all()
    # so any matching of all rows weighs at most sum u + sum v, and this one does
    assert u.sum() + v.sum() == orders[np.arange(m), match].sum()


@pytest.mark.parametrize("seed", range(20))
def test_an_enlarged_matching_keeps_what_was_matched(seed):
    rng = np.random.default_rng(seed)
    rows, cols = np.nonzero(rng.random((6, 8)) < 0.3)
    begin = np.full(6, -1)
    first = rng.integers(rows.size)
    begin[rows[first]] = cols[first]
    given = begin.copy()
    match = largest_matching(rows, cols, begin, 8)
    assert match[rows[first]] >= 0
    assert cols[first] in match
    np.testing.assert_array_equal(begin, given)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.data())
def test_components_are_numbered_along_the_edges(n, data):
    edges = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=2 * n))
    tails, heads = np.array([*zip(*edges, strict=True)] or [[], []], dtype=int)
    number = ordered_components(tails, heads, n)
    assert (number[tails] <= number[heads]).all()
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(range(n))
    sets = {frozenset(np.flatnonzero(number == k).tolist()) for k in range(number.max() + 1)}
    assert sets == {frozenset(part) for part in nx.strongly_connected_components(graph)}


def test_components_keep_their_order_where_it_is_free():
    assert ordered_components(np.array([0]), np.array([4]), 5).tolist() == [0, 1, 2, 3, 4]
    assert ordered_components(np.array([4]), np.array([0]), 5).tolist() == [4, 0, 1, 2, 3]


# --- size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_chain(shuffled):
    n = 20_000  # recursion, or sweeps over all equations until nothing changes, would not survive this
    k = np.arange(n)
    rows, cols = np.concatenate([k, k[1:]]), np.concatenate([k, k[:-1]])
    rng = np.random.default_rng(0)
    p, q = (rng.permutation(n), rng.permutation(n)) if shuffled else (k, k)
    found = analyse(Sigma.from_entries(p[rows], q[cols], np.repeat([0, 1], [n, n - 1]), (n, n)))
    assert (found.index, found.freedom) == (n, 0)
    np.testing.assert_array_equal(found.c[p], n - 1 - k)
    np.testing.assert_array_equal([block.cols[0] for block in found.blocks], q)


def test_layered_graphs_are_matched_in_time():
    side = 100  # neighbours on a grid: SciPy's maximum_bipartite_matching does not return from this
    grid = np.random.default_rng(0).permutation(side * side).reshape(side, side)
    edges = [(grid[1:], grid[:-1]), (grid[:, 1:], grid[:, :-1])]
    one, two = (np.concatenate([edge[end].ravel() for edge in edges]) for end in (0, 1))
    rows, cols = np.concatenate([one, two]), np.concatenate([two, one])
    match = largest_matching(rows, cols, np.full(side * side, -1), side * side)
    assert set(zip(range(side * side), match.tolist(), strict=True)) <= set(
        zip(rows.tolist(), cols.tolist(), strict=True)
    )
    assert np.unique(match).size == side * side


# --- words --------------------------------------------------------------------------------------------------


def test_the_report_names_parts_and_abbreviates():
    text = str(structure(pendulum(3)))
    assert "5 equations in 5 variables: structural index 3, freedom 0, structurally singular" in text
    assert "overdetermined: rod0, rod1, rod2 for x, y" in text
    assert "underdetermined: horizontal, vertical for lam0, lam1, lam2" in text
    text = str(structure(chain(100)))
    assert len(text.splitlines()) == 1 + 3 * (1 + 20)
    assert "... 81 more ..." in text
    assert max(map(len, text.splitlines())) < 80


# --- the door -----------------------------------------------------------------------------------------------


def test_entries_in_the_same_place_are_merged_to_the_highest_order():
    sigma = Sigma.from_entries([1, 0, 1, 1], [0, 1, 0, 0], [0, 1, 2, 1], (2, 2))
    np.testing.assert_array_equal(dense(sigma), [[-1, 1], [2, -1]])
    assert sigma.orders.size == 2


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (([0], [0], [-1], (1, 1)), "orders.*out of range"),
        (([1], [0], [0], (1, 1)), "rows.*out of range"),
        (([0], [1], [0], (1, 1)), "cols.*out of range"),
        (([-1], [0], [0], (1, 1)), "rows.*out of range"),
        (([0], [0], [0.5], (1, 1)), "orders.*not a list of integers"),
        (([[0]], [[0]], [[0]], (1, 1)), "rows.*not a list of integers"),
        (([0, 0], [0], [0], (1, 1)), "a row, a column and an order"),
        (([], [], [], (-1, 1)), "shape"),
        (([], [], [], (1.5, 1)), "shape"),
    ],
)
def test_what_is_no_signature_matrix_is_refused(entries, message):
    with pytest.raises(ProblemError, match=message):
        Sigma.from_entries(*entries)


@pytest.mark.parametrize("names", [["a"], "ab", []])
def test_names_have_to_fit(names):
    sigma = Sigma.from_entries([0, 1], [0, 1], [0, 0], (2, 2))
    with pytest.raises(ProblemError, match="names do not fit the equations"):
        analyse(sigma, names)
    with pytest.raises(ProblemError, match="names do not fit the variables"):
        analyse(sigma, None, names)
