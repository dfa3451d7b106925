"""Representatives under the symmetries of networks: the output stays, and each orbit has one."""

import numpy as np
import pytest

import subriem as sr


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "softplus"])
def test_orbits_have_one_representative(activation, biases):
    rng = np.random.default_rng(0)
    net = sr.flows.network([2, 4, 3, 2], rng.standard_normal((5, 2)), activation, biases=biases)
    theta = net.initial(seed=1)
    chosen = net.canonical(theta)
    assert np.abs(net.value(chosen) - net.value(theta)).max() < 1e-13
    assert np.array_equal(net.canonical(chosen), chosen)
    assert np.array_equal(np.sort(np.abs(chosen)), np.sort(np.abs(theta)))
    for _ in range(5):
        params = {name: value.copy() for name, value in net.unpack(theta).items()}
        for layer, width in ((1, 4), (2, 3)):
            order = rng.permutation(width)
            signs = rng.choice([-1.0, 1.0], width) if activation == "tanh" else np.ones(width)
            params[f"W{layer}"] = (signs[:, None] * params[f"W{layer}"])[order]
            if biases:
                params[f"b{layer}"] = (signs * params[f"b{layer}"])[order]
            params[f"W{layer + 1}"] = (params[f"W{layer + 1}"] * signs)[:, order]
        moved = net.pack(params)
        assert np.abs(net.value(moved) - net.value(theta)).max() < 1e-13
        assert np.array_equal(net.canonical(moved), chosen)


def test_units_alike_are_ordered_by_what_leaves_them():
    """Two units with the same weights into them, up to roundoff: the order does not depend on the roundoff."""
    net = sr.flows.network([1, 2, 1], [[0.5], [1.0]])
    theta = net.pack({"W1": [[1.0], [1.0]], "b1": [0.5, 0.5], "W2": [[-3.0, 2.0]], "b2": [0.0]})
    nudged = net.pack({"W1": [[1.0], [1.0 + 1e-12]], "b1": [0.5, 0.5], "W2": [[-3.0, 2.0]], "b2": [0.0]})
    assert np.abs(net.canonical(theta) - net.canonical(nudged)).max() < 1e-11
    assert net.canonical(theta)[-3:-1].tolist() == [2.0, -3.0]
