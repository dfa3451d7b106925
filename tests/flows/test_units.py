"""Degenerate units: made on purpose, one of each kind, and met at the end of real paths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import DOP853

from subriem.core.errors import ProblemError
from subriem.flows.network import network
from subriem.flows.units import UnitClass, UnitTolerances, null_units

SAMPLES = 60


def build(widths=(2, 4, 2), activation="tanh", biases=True, seed=0):
    inputs = np.random.default_rng(seed).standard_normal((SAMPLES, widths[0]))
    net = network(widths, inputs, activation, biases=biases)
    return net, net.initial(seed + 1)


def kernel(net, theta, cut=1e-12):
    """Right null vectors by an SVD of the test's own."""
    _, sigma, vt = np.linalg.svd(net.jacobian(theta))
    return vt[int(np.sum(sigma > cut * sigma[0])) :].T


def last(net, theta):
    """The right singular vector of the smallest singular value, for degeneracies that are only approached."""
    return np.linalg.svd(net.jacobian(theta))[2][-1]


def found(net, theta, z=None):
    findings = null_units(net, theta, kernel(net, theta) if z is None else z)
    return [(finding.kind, finding.units) for finding in findings]


def unit(number, layer=1):
    return f"layer {layer} unit {number}"


# --- one of each kind ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "relu"])
@pytest.mark.parametrize("widths", [(2, 4, 2), (2, 4, 3, 1)], ids=["shallow", "deep"])
def test_a_generic_network_has_no_finding(widths, activation):
    net, theta = build(widths, activation, seed=7)  # of the first seeds one with no dead relu in both depths
    z = kernel(net, theta)
    # every relu network has one null vector for each unit: rescaling is no degeneracy
    assert z.shape[1] == (sum(widths[1:-1]) if activation == "relu" else 0)
    assert null_units(net, theta, z) == ()


def test_dead_by_its_outgoing_weights():
    net, theta = build()
    net.unpack(theta)["W2"][:, 1] = 0.0
    (finding,) = null_units(net, theta, kernel(net, theta))
    assert (finding.kind, finding.units, finding.directions) == (UnitClass.DEAD, (unit(2),), 3)
    assert finding.value == 0.0
    assert finding.share == pytest.approx(1.0)


def test_dead_because_it_is_never_active():
    net, theta = build(activation="relu")
    net.unpack(theta)["b1"][2] = -100.0
    assert found(net, theta) == [(UnitClass.DEAD, (unit(3),))]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus"])
def test_constant_and_cancelled_by_the_next_biases(activation):
    net, theta = build(activation=activation)
    net.unpack(theta)["W1"][3] = 0.0
    (finding,) = null_units(net, theta, kernel(net, theta))
    assert (finding.kind, finding.units, finding.measure) == (
        UnitClass.CONSTANT,
        (unit(4),),
        "spread of the activation",
    )


def test_constant_in_a_deep_network():
    net, theta = build((2, 4, 3, 1))
    net.unpack(theta)["W1"][1] = 0.0
    assert found(net, theta) == [(UnitClass.CONSTANT, (unit(2),))]
    net, theta = build((2, 4, 3, 1))
    net.unpack(theta)["W2"][2] = 0.0
    assert found(net, theta) == [(UnitClass.CONSTANT, (unit(3, layer=2),))]


@pytest.mark.parametrize("bias", [25.0, -25.0, 9.0])
def test_saturated_on_all_samples(bias):
    net, theta = build()
    net.unpack(theta)["b1"][0] = bias
    (finding, *others) = null_units(net, theta, kernel(net, theta, cut=1e-5))
    assert not others
    assert (finding.kind, finding.units, finding.measure) == (UnitClass.SATURATED, (unit(1),), "largest slope")


def test_saturated_step():
    net, theta = build()
    params = net.unpack(theta)
    params["W1"][2] *= 1e4
    params["b1"][2] = 1.0
    (finding,) = null_units(net, theta, kernel(net, theta))
    assert (finding.kind, finding.units) == (UnitClass.STEP, (unit(3),))
    assert finding.measure == "slope number 3 of 60 samples"


def test_a_step_keeps_fewer_samples_on_its_slope_than_it_has_parameters():
    net, theta = build()
    params = net.unpack(theta)
    heights = np.sort(net.inputs @ params["W1"][2])
    middle = SAMPLES // 2
    params["W1"][2] *= 1e3
    params["b1"][2] = -1e3 * heights[middle] + 0.3
    _, slopes = net.hidden(theta)
    assert slopes[0][:, 2].max() > 0.5  # one sample is on the slope, and still there are null vectors
    assert found(net, theta) == [(UnitClass.STEP, (unit(3),))]


def test_of_two_measures_the_more_decisive_one_names_the_kind():
    net, theta = build()
    params = net.unpack(theta)
    params["W1"][2] *= 1e4
    params["W2"][:, 2] *= 5e-3  # nearly without effect, but without any slope
    assert found(net, theta) == [(UnitClass.STEP, (unit(3),))]


def test_active_on_too_few_samples():
    net, theta = build(activation="relu")
    params = net.unpack(theta)
    heights = np.sort(net.inputs @ params["W1"][1])
    params["b1"][1] = -(heights[-2] + heights[-3]) / 2  # active on two samples, three incoming parameters
    assert found(net, theta) == [(UnitClass.SPARSE, (unit(2),))]


@pytest.mark.parametrize("biases", [True, False], ids=["biases", "bare"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_merging_pair(activation, biases, outputs):
    net, theta = build((2, 4, outputs), activation, biases)
    params = net.unpack(theta)
    params["W1"][3] = params["W1"][1]
    if biases:
        params["b1"][3] = params["b1"][1]
    (finding,) = null_units(net, theta, kernel(net, theta))
    assert (finding.kind, finding.units) == (UnitClass.MERGING, (unit(2), unit(4)))
    assert finding.value < 1e-7


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_opposite_pair(activation):
    # a sigmoid with opposite weights is 1 - a: the biases of the next layer take the 1
    net, theta = build(activation=activation)
    params = net.unpack(theta)
    params["W1"][2], params["b1"][2] = -params["W1"][0], -params["b1"][0]
    assert found(net, theta) == [(UnitClass.OPPOSITE, (unit(1), unit(3)))]


def test_pair_of_rescaled_relu_units():
    net, theta = build(activation="relu")
    params = net.unpack(theta)
    params["W1"][2], params["b1"][2] = 3 * params["W1"][0], 3 * params["b1"][0]
    assert found(net, theta) == [(UnitClass.MERGING, (unit(1), unit(3)))]


def test_softplus_far_out_is_only_rescaled():
    net, theta = build(activation="softplus")
    params = net.unpack(theta)
    params["W1"][1] *= 1e4
    params["b1"][1] = 1e3
    params["W2"][:, 1] /= 1e4
    assert found(net, theta, last(net, theta)) == [(UnitClass.RESCALING, (unit(2),))]


def test_a_pair_that_merges_at_infinity():
    # w and w + d with outgoing weights c/|d| and -c/|d|: the activations differ by |d|, the null vector only by d^2
    net, theta = build((2, 3, 1))
    params = net.unpack(theta)
    step = 0.03
    params["W1"][2] = params["W1"][0] + step * np.array([0.6, -0.8])
    params["b1"][2] = params["b1"][0]
    params["W2"][0, 0], params["W2"][0, 2] = 1 / step, -1 / step
    sigma = np.linalg.svd(net.jacobian(theta))[1]
    assert sigma[-1] < 1e-5 * sigma[0]
    (finding,) = null_units(net, theta, last(net, theta))
    assert (finding.kind, finding.units) == (UnitClass.MERGING, (unit(1), unit(3)))
    assert 1e-3 < finding.value < 0.05


# --- several at once ----------------------------------------------------------------------------------------


def several():
    net, theta = build((2, 6, 2))
    params = net.unpack(theta)
    params["W2"][:, 0] = 0.0
    params["W1"][1] = 0.0
    params["W1"][2] *= 1e4
    params["W1"][4], params["b1"][4] = params["W1"][3], params["b1"][3]
    return net, theta


def test_several_kinds_at_once_whatever_the_basis():
    net, theta = several()
    z = kernel(net, theta)
    wanted = [
        (UnitClass.DEAD, (unit(1),)),
        (UnitClass.CONSTANT, (unit(2),)),
        (UnitClass.STEP, (unit(3),)),
        (UnitClass.MERGING, (unit(4), unit(5))),
    ]
    assert found(net, theta, z) == wanted
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((z.shape[1], z.shape[1])))[0]
    assert found(net, theta, z @ turn) == wanted
    assert sum(f.directions for f in null_units(net, theta, z)) == z.shape[1]


def test_three_units_that_coincide_are_two_pairs():
    net, theta = build((2, 5, 1))
    params = net.unpack(theta)
    for j in (2, 4):
        params["W1"][j], params["b1"][j] = params["W1"][0], params["b1"][0]
    findings = null_units(net, theta, kernel(net, theta))
    assert {f.kind for f in findings} == {UnitClass.MERGING}
    assert {name for f in findings for name in f.units} == {unit(1), unit(3), unit(5)}


def test_two_constant_units():
    net, theta = build((2, 4, 2))  # with one output their incoming weights would be a merging pair too
    net.unpack(theta)["W1"][[0, 2]] = 0.0
    assert found(net, theta) == [(UnitClass.CONSTANT, (unit(1),)), (UnitClass.CONSTANT, (unit(3),))]


# --- never a wrong guess ------------------------------------------------------------------------------------


def test_a_constant_input_column_is_no_fault_of_a_unit():
    inputs = np.random.default_rng(0).standard_normal((SAMPLES, 2))
    inputs[:, 1] = 1.0
    net = network([2, 3, 1], inputs)
    theta = net.initial(1)
    (finding,) = null_units(net, theta, kernel(net, theta))
    assert finding.kind is UnitClass.UNCLASSIFIED
    assert set(finding.units) == {unit(1), unit(2), unit(3)}
    assert (finding.directions, finding.measure) == (3, "")
    assert np.isnan(finding.value)


@pytest.mark.parametrize("seed", range(6))
def test_linear_units_are_not_guessed_at(seed):
    # 14 null vectors among 17 parameters: some lie on the parameters of any two units
    net, theta = build((2, 4, 1), "linear", seed=seed)
    (finding,) = null_units(net, theta, kernel(net, theta))
    assert finding.kind is UnitClass.UNCLASSIFIED
    assert finding.share >= 0.9


def test_a_measure_without_a_null_vector_is_no_finding():
    # unit 2 is dead, but the vector handed in lies on unit 3
    net, theta = build()
    net.unpack(theta)["W2"][:, 1] = 0.0
    z = net.pack({name: np.zeros(shape) for name, (_, shape) in net.layout.places.items()})
    net.unpack(z)["W1"][2] = [0.6, 0.8]
    (finding,) = null_units(net, theta, z)
    assert (finding.kind, finding.units) == (UnitClass.UNCLASSIFIED, (unit(3),))


@given(seed=st.integers(0, 10**6))
def test_vectors_that_are_not_null_are_not_classified(seed):
    net, theta = build((2, 5, 2))
    z = np.random.default_rng(seed).standard_normal(net.n_in)
    (finding,) = null_units(net, theta, z / np.linalg.norm(z))
    assert finding.kind is UnitClass.UNCLASSIFIED
    assert finding.share >= 0.9


@pytest.mark.parametrize("seed", range(8))
def test_the_null_vectors_that_more_parameters_than_outputs_bring_are_no_fault_of_a_unit(seed):
    net, theta = build((2, 8, 4, 2), seed=seed)
    assert net.n_in < net.n_out
    few = network(net.widths, net.inputs[:25])
    assert few.n_in > few.n_out
    assert {kind for kind, _ in found(few, theta)} == {UnitClass.UNCLASSIFIED}
    few.unpack(theta)["W3"][:, 1] = 0.0  # and yet a dead unit stands out
    assert found(few, theta)[0] == (UnitClass.DEAD, (unit(2, layer=2),))


def test_an_affine_map_names_its_outputs():
    inputs = np.random.default_rng(0).standard_normal((SAMPLES, 2))
    net = network([2, 2], np.column_stack([inputs[:, 0], 2 * inputs[:, 0]]))
    (finding,) = null_units(net, net.initial(0), kernel(net, net.initial(0)))
    assert (finding.kind, set(finding.units)) == (UnitClass.UNCLASSIFIED, {"output 1", "output 2"})


# --- text, tolerances, the door -----------------------------------------------------------------------------


def test_sentences_name_units_measure_and_share():
    net, theta = several()
    texts = [finding.sentence() for finding in null_units(net, theta, kernel(net, theta))]
    assert texts[0].startswith("dead unit: layer 1 unit 1 (relative effect 0.0e+00, limit 0.01; 100 % of 3 null")
    assert texts[3].startswith("merging pair: layer 1 unit 4 and layer 1 unit 5 (sine between the activations")
    lost = null_units(net, theta, np.eye(net.n_in)[:, -1])[0]
    assert lost.sentence() == "unclassified: 100 % of the null vector on output 2; no known degeneracy fits"


def test_tolerances_decide():
    net, theta = build((2, 3, 1))
    params = net.unpack(theta)
    params["W1"][2], params["b1"][2] = params["W1"][0] + 0.02, params["b1"][0]
    params["W2"][0, [0, 2]] = 50.0, -50.0
    z = last(net, theta)
    assert null_units(net, theta, z)[0].kind is UnitClass.MERGING
    strict = null_units(net, theta, z, tolerances=UnitTolerances(angle=1e-4))
    assert strict[0].kind is UnitClass.UNCLASSIFIED
    assert set(strict[0].units) == {unit(1), unit(3)}


@pytest.mark.parametrize(
    ("z", "words"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((22, 1)), "not orthonormal"),
        (np.full((22, 1), np.nan), "not orthonormal"),
        (np.eye(22)[:, :1] * 1j, "complex"),
        (np.zeros((22, 1, 1)), "do not fit"),
    ],
)
def test_null_vectors_that_do_not_fit(z, words):
    net, theta = build()
    with pytest.raises(ProblemError, match=words):
        null_units(net, theta, z)


@pytest.mark.parametrize("activation", ["tanh", "softplus", "relu"])
def test_huge_parameters_do_not_warn(activation):
    net, theta = build(activation=activation)
    found(net, 1e170 * theta, np.eye(net.n_in)[:, :3])
    with pytest.raises(ProblemError, match="not finite"):
        found(net, np.nan * theta, np.eye(net.n_in)[:, :1])


def test_theta_that_does_not_fit():
    net, theta = build()
    with pytest.raises(ProblemError, match="theta has the wrong shape"):
        null_units(net, theta[1:], np.eye(net.n_in)[:, :1])
    assert found(net, theta.tolist(), np.eye(net.n_in)[:, :1])


@pytest.mark.parametrize("share", [0.5, 1.1, np.nan])
def test_share_must_be_a_majority(share):
    net, theta = build()
    with pytest.raises(ProblemError, match="majority"):
        null_units(net, theta, np.eye(net.n_in)[:, :1], share=share)


def test_without_null_vectors_nothing_is_found():
    net, theta = build()
    assert null_units(net, theta, np.zeros((net.n_in, 0))) == ()


# --- real ends of paths -------------------------------------------------------------------------------------


def end_of_path(seed):
    """theta' = -D^+ grad_x C of a tanh network 2-3-1 on random data, until sigma_min/sigma_max(path) < 1e-7."""
    rng = np.random.default_rng(seed)
    net = network([2, 3, 1], rng.standard_normal((30, 2)))
    y = rng.standard_normal(30)

    def velocity(_, theta):
        left, sigma, right = np.linalg.svd(net.jacobian(theta), full_matrices=False)
        return right.T @ (left.T @ (y - net.value(theta)) / 30 / sigma)

    theta = net.initial(seed)
    largest = 0.0
    path = DOP853(velocity, 0.0, theta, np.inf, rtol=1e-6, atol=1e-9)
    while path.status == "running":
        path.step()
        sigma = np.linalg.svd(net.jacobian(path.y), compute_uv=False)
        largest = max(largest, sigma[0])
        if sigma[-1] < 1e-7 * largest:
            return net, path.y
    raise AssertionError("the path went on")


@pytest.mark.parametrize(
    ("seed", "kind", "units"),
    [
        (0, UnitClass.CONSTANT, [1]),
        (2, UnitClass.MERGING, [1, 2]),
        (3, UnitClass.SATURATED, [3]),
        (4, UnitClass.OPPOSITE, [1, 2]),
        (5, UnitClass.CONSTANT, [2]),
        (6, UnitClass.MERGING, [1, 3]),
        (8, UnitClass.MERGING, [2, 3]),
        (10, UnitClass.STEP, [2]),
        (12, UnitClass.SATURATED, [2]),
        (14, UnitClass.STEP, [1]),
        (15, UnitClass.STEP, [3]),
        (16, UnitClass.MERGING, [2, 3]),
        (18, UnitClass.OPPOSITE, [1, 3]),
        (19, UnitClass.OPPOSITE, [1, 3]),
    ],
)
def test_ends_of_bare_flows_are_named(seed, kind, units):
    net, theta = end_of_path(seed)
    (finding,) = null_units(net, theta, last(net, theta))
    assert (finding.kind, finding.units) == (kind, tuple(unit(j) for j in units))
    assert finding.share > 0.95
