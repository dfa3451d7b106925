"""Over-parametrized (K >= n, rank D = n): the output runs straight to the target at the rate e^{-s/N}.

A tanh network with 122 parameters meets 8 numbers. The stopping time is known before the run, and the t-clock reaches
the end of the orbit, s = infinity, in about a hundred evaluations.
"""

import numpy as np

import subriem as sr


def main() -> dict[str, float]:
    """Return the measured rate times N, the deviation from the chord, and C/C0 at the end of the orbit."""
    rng = np.random.default_rng(1)
    samples = 4
    net = sr.flows.network([3, 20, 2], rng.standard_normal((samples, 3)))
    flow = sr.flows.adapted(net, sr.flows.squared_error(rng.standard_normal((samples, 2))))
    theta0 = net.initial(seed=1)

    # the s-clock without projection, so that rate and straightness are results, not constructions
    stop = flow.stopping_time(theta0, eps=1e-4)
    path = sr.follow(flow, theta0, clock="s", until=sr.Until(s=stop), project=False, rtol=1e-10)
    distance = np.linalg.norm(path["x"] - flow.cost.target, axis=1)
    rate = -np.log(distance[-1] / distance[0]) / path.s[-1]
    chord = path["x"][-1] - path["x"][0]
    unit = chord / np.linalg.norm(chord)
    offset = path["x"] - path["x"][0]
    deviation = np.linalg.norm(offset - np.outer(offset @ unit, unit), axis=1).max() / np.linalg.norm(chord)

    end = sr.follow(flow, theta0)
    print(f"{flow.regime(theta0)}")
    print(f"|x - y| at the predicted stopping time: {distance[-1]:.12f} (asked for 1e-4)")
    print(f"rate times N: {rate * samples:.12f}, deviation from the chord: {deviation:.1e}")
    print(f"whole orbit: {end.nfev} evaluations, C/C0 = {end.cost_ratio:.1e}, drift {end.drift:.1e}")
    return {"rate_N": rate * samples, "deviation": deviation, "final": distance[-1], "cost_ratio": end.cost_ratio}


if __name__ == "__main__":
    result = main()
    assert abs(result["rate_N"] - 1.0) < 1e-7
    assert result["deviation"] < 1e-8
    assert abs(result["final"] / 1e-4 - 1.0) < 1e-6
    assert result["cost_ratio"] < 1e-28
