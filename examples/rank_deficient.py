"""Rank-deficient: a sample that stands twice, with labels that contradict each other.

The textbook formula D^T (D D^T)^{-1} does not exist. The flow is still well defined: what the labels share is reached
at the same rate, what they contest is left as a cost known from the labels alone, and the rows are named.
"""

import numpy as np

import subriem as sr


def main() -> dict[str, float]:
    """Return the rank, the predicted and the reached floor of the cost, and the decay rate of the cost above it."""
    rng = np.random.default_rng(5)
    inputs, targets = rng.standard_normal((6, 2)), rng.standard_normal((6, 1))
    inputs[4] = inputs[1]
    net = sr.flows.network([2, 16, 1], inputs)
    flow = sr.flows.adapted(net, sr.flows.squared_error(targets))
    theta0 = net.initial(seed=5)

    floor = (targets[1, 0] - targets[4, 0]) ** 2 / (4 * len(inputs))
    path = sr.follow(flow, theta0, clock="s", until=sr.Until(s=40.0), project=False, rtol=1e-10)
    excess = path["cost"] - floor
    late = excess > 1e-10 * excess[0]
    rate = -np.polyfit(path.s[late], np.log(excess[late]), 1)[0]
    end = sr.follow(flow, theta0)

    print(path.regime)
    print(f"contradicting: {end.conflicts}")
    print(f"floor from the labels {floor:.15f}, reached {end['cost'][-1]:.15f}")
    print(f"decay rate of C - floor times N/2: {rate * len(inputs) / 2:.10f}")
    return {"rank": end.regime.rank, "floor": floor, "cost": end["cost"][-1], "rate": rate * len(inputs) / 2}


if __name__ == "__main__":
    result = main()
    assert result["rank"] == 5
    assert abs(result["cost"] / result["floor"] - 1) < 1e-12
    assert abs(result["rate"] - 1.0) < 1e-6
