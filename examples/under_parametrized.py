"""Under-parametrized (K < n, rank D = K): a gradient flow on the image, with rates 1 + kappa at its equilibria.

The image is the ellipse (2 cos theta, sin theta), the target its centre. The principal curvatures of the image in the
direction of the residual give the rates: -3 at theta = 0 (unstable), 3/4 at pi/2.
"""

import casadi as ca
import numpy as np

import subriem as sr


def main() -> dict[str, float]:
    """Return the rate at which the flow leaves theta = 0, that at which it comes to pi/2, and the final cost."""
    ellipse = sr.map(lambda t: [2 * ca.cos(t[0]), ca.sin(t[0])], 1)
    flow = sr.flows.adapted(ellipse, sr.flows.squared_error([[0.0, 0.0]]))

    path = sr.follow(flow, [1e-7], until=sr.Until(s=30.0), rtol=1e-10)
    theta = path["theta"][:, 0]
    leaving = (theta > 1e-6) & (theta < 1e-3)
    rest = np.pi / 2 - theta
    coming = (rest < 1e-3) & (rest > 1e-6)
    unstable = -np.polyfit(path.s[leaving], np.log(theta[leaving]), 1)[0]
    stable = -np.polyfit(path.s[coming], np.log(rest[coming]), 1)[0]
    # C(s) = C0 exp(-2/N ∫ cos^2 phi ds), phi the angle between the residual and the tangent space
    identity = np.abs(np.log(path["cost"] / path.cost0) + 2 * path["alignment"]).max()

    print(f"{flow.regime([1e-7])}")
    print(f"rates: {unstable:.6f} at 0 (exact -3), {stable:.6f} at pi/2 (exact 0.75)")
    print(f"cost {path.cost0:.6f} -> {path['cost'][-1]:.12f}; log identity to {identity:.1e}")
    return {"unstable": unstable, "stable": stable, "cost": path["cost"][-1], "identity": identity}


if __name__ == "__main__":
    result = main()
    assert abs(result["unstable"] + 3.0) < 1e-4
    assert abs(result["stable"] - 0.75) < 1e-4
    assert abs(result["cost"] - 0.5) < 1e-12
    assert result["identity"] < 1e-7
