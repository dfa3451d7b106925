"""Layered networks: one table of networks, every derivative against an independent one."""

import pickle
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subriem.core.errors import ProblemError
from subriem.core.protocols import Map
from subriem.flows import layers
from subriem.flows.activations import ACTIVATIONS
from subriem.flows.network import network

SMOOTH = ["tanh", "sigmoid", "softplus", "linear"]
CASES = [
    (widths, activation, biases)
    for widths in ([3, 2], [2, 3, 1], [3, 4, 5, 3], [1, 2, 3, 2, 1])
    for activation in [*SMOOTH, "relu"]
    for biases in (True, False)
]
IDS = [f"{'-'.join(map(str, w))}-{a}-{'biases' if b else 'bare'}" for w, a, b in CASES]


def build(widths, activation="tanh", biases=True, samples=7, seed=0):
    inputs = np.random.default_rng([seed, *widths]).standard_normal((samples, widths[0]))
    net = network(widths, inputs, activation, biases=biases)
    return net, net.initial(seed + 3)


@pytest.fixture(params=CASES, ids=IDS)
def case(request):
    net, theta = build(*request.param)
    rng = np.random.default_rng(5)
    return net, theta, rng.standard_normal((2, net.n_in)), rng.standard_normal(net.n_out)


def naive(net, theta):
    """x[theta], sample by sample from the definition; accepts complex theta."""
    rules = {
        "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "softplus": lambda z: np.log(1 + np.exp(z)),
        "relu": lambda z: np.where(z.real > 0, z, 0),
        "linear": lambda z: z,
    }
    x = []
    for row in net.inputs:
        a, start, depth = row, 0, len(net.widths) - 1
        for layer, (fan_in, fan_out) in enumerate(zip(net.widths[:-1], net.widths[1:], strict=True), start=1):
            z = theta[start : start + fan_in * fan_out].reshape(fan_out, fan_in) @ a
            start += fan_in * fan_out
            if net.biases:
                z = z + theta[start : start + fan_out]
                start += fan_out
            a = z if layer == depth else rules[net.activation](z)
        x.extend(a)
    return np.array(x)


def complex_step(net, theta):
    """D to roundoff: Im x[theta + i h e_k]/h has no cancellation."""
    columns = [naive(net, theta + 1e-30j * e).imag / 1e-30 for e in np.eye(net.n_in)]
    return np.array(columns).T


def close(got, wanted, tolerance):
    scale = max(float(np.abs(wanted).max(initial=0.0)), 1.0)
    return got.shape == wanted.shape and float(np.abs(got - wanted).max(initial=0.0)) <= tolerance * scale


# --- derivatives --------------------------------------------------------------------------------------------


def test_it_is_a_map(case):
    net, theta, *_ = case
    assert isinstance(net, Map)
    assert {"gram", "second", "hvp"} <= net.capabilities
    assert net.value(theta).shape == (net.n_out,)
    assert theta.shape == (net.n_in,)


def test_value_is_the_definition_sample_major(case):
    net, theta, *_ = case
    assert close(net.value(theta), naive(net, theta), 1e-14)


def test_jacobian_against_complex_steps(case):
    net, theta, *_ = case
    assert close(net.jacobian(theta), complex_step(net, theta), 1e-13)


def test_products_are_those_of_the_jacobian(case):
    net, theta, (v, _), w = case
    d = net.jacobian(theta)
    assert close(net.jvp(theta, v), d @ v, 1e-13)
    assert close(net.vjp(theta, w), d.T @ w, 1e-13)


def test_gram_is_that_of_the_jacobian(case, monkeypatch):
    net, theta, *_ = case
    d = net.jacobian(theta)
    for rows in (layers.TILE, 2, 7):  # one tile, and tiles that do and do not divide the samples
        monkeypatch.setattr(layers, "TILE", rows)
        gram = net.gram(theta)
        assert np.abs(gram - d @ d.T).max() <= 1e-13 * np.abs(gram).max()
        assert np.array_equal(gram, gram.T)


def test_second_and_hvp_against_central_differences(case):
    net, theta, (u, v), lam = case
    h = 1e-6
    bent = (net.jvp(theta + h * v, u) - net.jvp(theta - h * v, u)) / (2 * h)
    assert close(net.second(theta, u, v), bent, 3e-8)
    turned = (net.vjp(theta + h * v, lam) - net.vjp(theta - h * v, lam)) / (2 * h)
    assert close(net.hvp(theta, lam, v), turned, 3e-8)


def test_second_derivatives_agree_and_are_symmetric(case):
    net, theta, (u, v), lam = case
    uv, vu = net.second(theta, u, v), net.second(theta, v, u)
    assert close(uv, vu, 1e-13)
    wanted = lam @ uv
    assert abs(u @ net.hvp(theta, lam, v) - wanted) <= 1e-12 * max(1.0, abs(wanted))
    assert abs(v @ net.hvp(theta, lam, u) - wanted) <= 1e-12 * max(1.0, abs(wanted))


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 30), activation=st.sampled_from(sorted(ACTIVATIONS)))
def test_adjoint_identity(seed, scale, activation):
    net, theta = build([2, 3, 4, 2], activation, seed=seed, samples=5)
    theta = scale * theta
    rng = np.random.default_rng(seed)
    v, w = rng.standard_normal(net.n_in), rng.standard_normal(net.n_out)
    image, pull = net.jvp(theta, v), net.vjp(theta, w)
    size = np.linalg.norm(net.jacobian(theta)) * np.linalg.norm(v) * np.linalg.norm(w)
    assert abs(w @ image - pull @ v) <= 1e-14 * size


def test_gram_does_not_form_the_jacobian():
    net, theta = build([4, 60, 60, 2], samples=100)
    d_bytes = 8 * net.n_in * net.n_out
    tracemalloc.start()
    net.gram(theta)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < d_bytes / 2


@pytest.mark.parametrize("biases", [True, False], ids=["biases", "bare"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_symbolic_function_agrees(activation, biases):
    net, theta = build([2, 3, 4, 2], activation, biases)
    assert "function" in net.capabilities
    assert close(np.array(net.function(theta)).ravel(), net.value(theta), 1e-14)
    import casadi as ca

    symbol = ca.SX.sym("theta", net.n_in)
    d = np.array(ca.Function("d", [symbol], [ca.jacobian(net.function(symbol), symbol)])(theta))
    assert close(net.jacobian(theta), d, 1e-13)


def test_symbolic_function_of_a_large_network_is_refused():
    net, _ = build([4, 40, 1])
    assert "function" not in net.capabilities
    with pytest.raises(ProblemError, match="too large for a symbolic function"):
        _ = net.function


# --- activations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ACTIVATIONS.values(), ids=list(ACTIVATIONS))
def test_activation_derivatives(rule):
    z = np.linspace(-4, 4, 41) + 0.01  # off the kink of relu
    h = 1e-5
    a, slope = rule.evaluate(z)
    assert np.allclose(slope, (rule.evaluate(z + h)[0] - rule.evaluate(z - h)[0]) / (2 * h), atol=1e-9)
    bent = (rule.evaluate(z + h)[1] - rule.evaluate(z - h)[1]) / (2 * h)
    assert np.allclose(rule.curvature(a, slope), bent, atol=1e-9)
    assert slope.max() <= rule.steepest
    assert rule.odd == np.allclose(rule.evaluate(-z)[0], -a)


@pytest.mark.parametrize("rule", ACTIVATIONS.values(), ids=list(ACTIVATIONS))
@given(size=st.floats(0, 1e4))
def test_activations_are_safe_far_out(rule, size):
    a, slope = rule.evaluate(np.array([-size, size]))
    assert np.isfinite(a).all()
    assert np.isfinite(rule.curvature(a, slope)).all()
    assert rule.bounds[0] <= a.min()
    assert a.max() <= rule.bounds[1]
    assert slope.min() >= 0
    assert slope.max() <= rule.steepest * (1 + 1e-15)


def test_tails_of_the_sigmoid_keep_their_relative_accuracy():
    a, slope = ACTIVATIONS["sigmoid"].evaluate(np.array([-40.0, 40.0]))
    assert np.allclose([a[0], *slope], np.exp(-40.0), rtol=1e-15)


@pytest.mark.parametrize("size", [1e4, 1e200, np.nan, np.inf])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_extreme_parameters_do_not_warn(activation, size):
    net, theta = build([2, 3, 3, 2], activation)
    theta = size * theta
    v, w = np.ones(net.n_in), np.ones(net.n_out)
    results = [
        net.value(theta),
        net.jacobian(theta),
        net.jvp(theta, v),
        net.vjp(theta, w),
        net.gram(theta),
        net.second(theta, v, v),
        net.hvp(theta, w, v),
    ]
    if size == 1e4:
        assert all(np.isfinite(result).all() for result in results)
    if "conserved" in net.capabilities:
        net.conserved(theta)


# --- the kept forward pass ----------------------------------------------------------------------------------


def test_one_forward_pass_serves_all_at_one_theta(monkeypatch):
    made = []
    module = sys.modules["subriem.flows.network"]  # the attribute of the package is the function
    original = module.Pass
    monkeypatch.setattr(module, "Pass", lambda *args: made.append(1) or original(*args))
    net, theta = build([2, 3, 2])
    v, w = np.ones(net.n_in), np.ones(net.n_out)
    for _ in range(2):
        net.value(theta), net.gram(theta), net.vjp(theta, w), net.jvp(theta.copy(), v), net.jacobian(theta)
    assert len(made) == 1
    net.value(theta + 1)
    assert len(made) == 2


def test_theta_changed_in_place_is_a_new_theta():
    net, theta = build([2, 3, 2])
    v, w = np.ones(net.n_in), np.ones(net.n_out)
    net.gram(theta)
    theta[4] += 0.5
    fresh, _ = build([2, 3, 2])
    assert np.array_equal(net.vjp(theta, w), fresh.vjp(theta, w))
    assert np.array_equal(net.value(theta), fresh.value(theta))
    assert np.array_equal(net.gram(theta), fresh.gram(theta))
    assert np.array_equal(net.jvp(theta, v), fresh.jvp(theta, v))


def test_results_may_be_overwritten():
    net, theta = build([2, 3, 2])
    x, gram, d = net.value(theta), net.gram(theta), net.jacobian(theta)
    for result in (
        net.value(theta),
        net.gram(theta),
        net.jacobian(theta),
        *net.hidden(theta)[0],
        *net.hidden(theta)[1],
    ):
        result[...] = np.nan
    assert np.array_equal(net.value(theta), x)
    assert np.array_equal(net.gram(theta), gram)
    assert np.array_equal(net.jacobian(theta), d)


def test_threads_do_not_disturb_each_other():
    net, theta = build([2, 3, 2])
    wanted = [build([2, 3, 2])[0].gram(theta * factor) for factor in range(1, 5)]
    wrong = []

    def work(factor):
        for _ in range(50):
            if not np.array_equal(net.gram(theta * factor), wanted[factor - 1]):
                wrong.append(factor)

    threads = [threading.Thread(target=work, args=(factor,)) for factor in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pickled_without_the_forward_pass_and_the_same_in_another_process():
    net, theta = build([3, 4, 2], "softplus", biases=False)
    before = pickle.dumps(net)
    x = net.value(theta)
    _ = net.function, net.layout
    assert pickle.dumps(net) == before
    code = "import pickle, sys; net, t = pickle.load(sys.stdin.buffer); print(net.value(t).tobytes().hex())"
    command, root = [sys.executable, "-c", code], Path(__file__).parents[2]
    run = subprocess.run(command, input=pickle.dumps((net, theta)), capture_output=True, check=True, cwd=root)
    assert bytes.fromhex(run.stdout.decode()) == x.tobytes()


def test_inputs_are_copied_and_read_only():
    inputs = np.ones((2, 3))
    net = network([3, 1], inputs)
    inputs[0, 0] = 5.0
    assert net.inputs[0, 0] == 1.0
    for one in (net, pickle.loads(pickle.dumps(net))):
        with pytest.raises(ValueError, match="read-only"):
            one.inputs[0, 0] = 2.0


# --- parameters and names -----------------------------------------------------------------------------------


def test_unpack_gives_views_in_the_order_of_theta():
    net, theta = build([2, 3, 1])
    params = net.unpack(theta)
    assert list(params) == ["W1", "b1", "W2", "b2"]
    assert [p.shape for p in params.values()] == [(3, 2), (3,), (1, 3), (1,)]
    assert np.array_equal(np.concatenate([p.ravel() for p in params.values()]), theta)
    params["b2"][0] = 7.0
    assert theta[-1] == 7.0
    assert list(build([2, 3, 1], biases=False)[0].unpack(np.zeros(9))) == ["W1", "W2"]


@given(widths=st.lists(st.integers(1, 5), min_size=2, max_size=5), biases=st.booleans(), seed=st.integers(0, 99))
def test_pack_inverts_unpack(widths, biases, seed):
    net = network(widths, np.zeros((2, widths[0])), biases=biases)
    theta = net.initial(seed)
    params = dict(reversed(net.unpack(theta).items()))
    assert np.array_equal(net.pack(params), theta)
    assert np.array_equal(net.pack({name: value.tolist() for name, value in params.items()}), theta)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"W3": [[1.0]]}, "unknown: W3"),
        ({"b1": None}, "missing: b1"),
        ({"W1": np.ones((2, 3))}, r"W1 has the wrong shape[\s\S]*\(2, 3\)[\s\S]*\(3, 2\)[\s\S]*out, in"),
        ({"b2": [1j]}, "b2 does not hold real numbers"),
        ({"W1": [[1, 2], [3]]}, "W1 is not an array"),
    ],
)
def test_pack_says_what_does_not_fit(change, words):
    net, theta = build([2, 3, 1])
    params = {**net.unpack(theta), **change}
    with pytest.raises(ProblemError, match=words):
        net.pack({name: value for name, value in params.items() if value is not None})


def test_parameter_names_are_those_of_unpack():
    net, _ = build([2, 3, 2])
    theta = np.arange(float(net.n_in))
    params = net.unpack(theta)
    assert len(net.parameter_names) == net.n_in
    for k, name in enumerate(net.parameter_names):
        array, _, place = name.rstrip("]").partition("[")
        assert params[array][tuple(int(i) for i in place.split(","))] == k
    assert net.parameter_names[2] == "W1[1,0]"
    assert net.parameter_names[-1] == "b2[1]"
    assert net.parameter_names[6:8] == ["b1[0]", "b1[1]"]
    with pytest.raises(IndexError):
        net.parameter_names[net.n_in]


def test_output_and_unit_names_count_from_one():
    net, _ = build([2, 3, 4, 2])
    assert (len(net.output_names), net.output_names[0], net.output_names[13]) == (
        14,
        "row 1, output 1",
        "row 7, output 2",
    )
    assert [net.sample_of(k) for k in (0, 1, 2, 13, -1)] == [0, 0, 1, 6, 6]
    assert list(net.unit_names)[2:5] == ["layer 1 unit 3", "layer 2 unit 1", "layer 2 unit 2"]
    assert list(build([2, 1])[0].unit_names) == []
    with pytest.raises(IndexError):
        net.sample_of(14)


def test_names_are_made_on_demand():
    net = network([1000, 1000, 10], np.zeros((1, 1000)))
    tracemalloc.start()
    assert net.parameter_names[10**6 + 999] == "b1[999]"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**5


def test_repr_tells_the_sizes():
    assert repr(build([2, 3, 1], biases=False)[0]) == "<tanh network 2-3-1 without biases, 7 samples: K = 9, n = 7>"


# --- starts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "weight", "bias"),
    [("fan_in", 1 / 200, 0.25), ("xavier", 2 / 500, 0.0)],
    ids=["fan_in", "xavier"],
)
def test_initial_statistics(scheme, weight, bias):
    net = network([50, 200, 300, 1], np.zeros((1, 50)))
    params = net.unpack(net.initial(4, scheme))
    # 60 000 draws: the variance is known to 0.6 % (one sigma), the mean to 0.4 % of the deviation
    assert abs(params["W2"].var() / weight - 1) < 0.02
    assert abs(params["W2"].mean()) < 0.015 * np.sqrt(weight)
    assert abs(params["b2"].var() - bias) <= 0.3 * bias


def test_initial_is_drawn_layer_by_layer_from_the_seed():
    net, _ = build([2, 3, 1])
    rng = np.random.default_rng(11)
    wanted = {
        "W1": rng.standard_normal((3, 2)) / np.sqrt(2),
        "b1": rng.standard_normal(3) / 2,
        "W2": rng.standard_normal((1, 3)) / np.sqrt(3),
        "b2": rng.standard_normal(1) / 2,
    }
    assert np.allclose(net.initial(11), net.pack(wanted), rtol=1e-15)
    assert np.array_equal(net.initial(11), net.initial(11))
    assert not np.array_equal(net.initial(11), net.initial(12))
    with pytest.raises(ProblemError, match=r'"fan_in" or "xavier"'):
        net.initial(0, "he")


# --- structure ----------------------------------------------------------------------------------------------


@given(rows=st.lists(st.sampled_from([0.0, -0.0, 1.0, 2.0]), min_size=1, max_size=12))
def test_duplicates_are_the_bitwise_equal_rows(rows):
    net = network([2, 1], np.array([[1.0, value] for value in rows]))
    groups = net.duplicate_inputs
    keys = [(value, np.signbit(value)) for value in rows]
    wanted = {key: [i for i, other in enumerate(keys) if other == key] for key in keys}
    assert sorted(groups) == sorted(tuple(group) for group in wanted.values() if len(group) > 1)


def test_duplicated_inputs_give_equal_rows_of_the_jacobian():
    inputs = np.random.default_rng(0).standard_normal((4, 2))
    net = network([2, 3, 2], inputs[[0, 1, 0, 2, 3, 0]])
    d = net.jacobian(net.initial(0)).reshape(6, 2, -1)
    assert net.duplicate_inputs == ((0, 2, 5),)
    assert np.array_equal(d[0], d[2])
    assert np.array_equal(d[0], d[5])


@pytest.mark.parametrize("biases", [True, False], ids=["biases", "bare"])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_conserved_quantities_have_gradients_in_the_kernel_of_d(activation, biases):
    net, theta = build([3, 4, 2, 2], activation, biases)
    assert "conserved" in net.capabilities
    assert net.conserved(theta).shape == ((4 + 2,) if activation == "relu" else (10 + 3,))
    rng = np.random.default_rng(1)
    for _ in range(5):
        v = net.vjp(theta, rng.standard_normal(net.n_out))
        # they are quadratic, so that the central difference is exact
        change = (net.conserved(theta + v) - net.conserved(theta - v)) / 2
        assert np.abs(change).max() <= 1e-13 * (np.linalg.norm(theta) + np.linalg.norm(v)) ** 2
        kick = rng.standard_normal(net.n_in)
        changed = (net.conserved(theta + kick) - net.conserved(theta - kick)) / 2
        assert np.abs(changed).max() > 1e-2  # a direction outside range D^T does change them


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus"])
def test_other_activations_have_no_conserved_quantities(activation):
    net, theta = build([2, 3, 1], activation)
    assert "conserved" not in net.capabilities
    with pytest.raises(ProblemError, match="no known conserved quantities"):
        net.conserved(theta)


def test_an_affine_map_conserves_nothing_and_has_a_constant_jacobian():
    net, theta = build([3, 2], "linear")
    assert net.conserved(theta).shape == (0,)
    assert np.array_equal(net.jacobian(theta), net.jacobian(-3 * theta))
    assert not build([3, 2], "relu")[0].piecewise


def test_only_relu_is_piecewise():
    assert [a for a in ACTIVATIONS if build([2, 3, 1], a)[0].piecewise] == ["relu"]


# --- at the door --------------------------------------------------------------------------------------------

GOOD = np.ones((3, 2))


@pytest.mark.parametrize(
    ("widths", "inputs", "options", "words"),
    [
        ([2, 1], [[1, 2], [3, np.nan]], {}, r"row 2, column 2 \(inputs\[1, 1\] = nan\)"),
        ([2, 1], [[np.inf, 2], [3, 4]], {}, "row 1, column 1"),
        ([2, 1], GOOD * 1j, {}, "complex128"),
        ([2, 1], GOOD.astype(object), {}, "dtype object"),
        ([2, 1], [["a", "b"]], {}, "does not hold real numbers"),
        ([2, 1], [[1, 2], [3]], {}, "inputs is not an array"),
        ([2, 1], np.ones(2), {}, r"shape \(2,\)[\s\S]*inputs\[:, None\]"),
        ([2, 1], np.ones((2, 2, 2)), {}, "not a table"),
        ([2, 1], np.ones((0, 2)), {}, "not a table"),
        ([3, 4, 1], GOOD, {}, r"widths\[0\] = 3, inputs with 2 columns[\s\S]*\[2, 4, 1\]"),
        ([2], GOOD, {}, "two or more positive integers"),
        ([], GOOD, {}, "two or more positive integers"),
        ([2, 0, 1], GOOD, {}, "positive integers"),
        ([2, -3, 1], GOOD, {}, "positive integers"),
        ([2, 2.5, 1], GOOD, {}, "positive integers"),
        ([2, True], GOOD, {}, "positive integers"),
        (2, GOOD, {}, "widths is not a sequence"),
        ([2, 1], GOOD, {"activation": "gelu"}, '"tanh", "sigmoid", "softplus", "relu", "linear"'),
    ],
)
def test_a_network_that_cannot_be_meant(widths, inputs, options, words):
    with pytest.raises(ProblemError, match=words) as caught:
        network(widths, inputs, **options)
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == ["What", "Got", "Expected", "Try"]
    assert all(len(line.split()) > 1 for line in lines)


@pytest.mark.parametrize(
    ("theta", "words"),
    [
        (np.zeros(12), r"theta has the wrong shape[\s\S]*\(12,\)[\s\S]*\(13,\)"),
        (np.zeros((13, 1)), "wrong shape"),
        (np.zeros(13, dtype=complex), "complex128"),
        (np.zeros(13, dtype=object), "dtype object"),
    ],
)
def test_theta_that_does_not_fit(theta, words):
    net, good = build([2, 3, 1])
    calls = [net.value, net.jacobian, net.gram, net.unpack, net.hidden]
    calls += [
        lambda t: net.jvp(good, t),
        lambda t: net.second(good, good, t),
        lambda t: net.second(good, t, good),
    ]
    calls += [lambda t: net.hvp(good, np.ones(7), t)]
    for call in calls:
        with pytest.raises(ProblemError):
            call(theta)
    with pytest.raises(ProblemError, match=words):
        net.value(theta)


def test_output_vectors_that_do_not_fit():
    net, theta = build([2, 3, 1])
    with pytest.raises(ProblemError, match="w has the wrong shape"):
        net.vjp(theta, np.ones(6))
    with pytest.raises(ProblemError, match="lam has the wrong shape"):
        net.hvp(theta, np.ones(8), theta)


def test_integers_and_lists_are_accepted():
    net = network((np.int64(2), 3, 1), [[1, 2], [3, 4]])
    assert net.widths == (2, 3, 1)
    assert all(type(width) is int for width in net.widths)
    assert np.array_equal(net.value([1] * 13), net.value(np.ones(13)))


def test_a_strided_theta_is_the_same_theta():
    net, theta = build([2, 3, 1])
    strided = np.column_stack([theta, theta])[:, 0]
    x = net.value(theta)
    assert np.array_equal(net.value(strided), x)
    assert np.array_equal(net.unpack(strided)["W1"], net.unpack(theta)["W1"])
