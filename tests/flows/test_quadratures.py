"""The measured uncertainty of the user's quadratures, against integrals known in closed form."""

from typing import Any

import numpy as np
import pytest

import subriem as sr
from subriem import io
from subriem.flows.network import network
from subriem.integration.dop853 import quadrature, quadrature_uncertainty, tableau
from tests.flows.problems import wide

#: Rates of a transient e^{-rate clock}; the steps of theta do not see it.
RATES = (3.0, 30.0, 100.0, 300.0, 1000.0)


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("clock", ["s", "t"])
def test_transients_and_waves_that_theta_does_not_see_have_an_honest_error(clock, rtol):
    """Not below half the true error, resolved or not."""
    problem = wide()
    integrands = {f"fall {r:g}": lambda point, r=r: np.exp(-r * point.clock) for r in RATES}
    integrands |= {f"wave {r:g}": lambda point, r=r: np.cos(r * point.clock) for r in (3.0, 10.0, 30.0)}
    until = sr.Until(s=8.0) if clock == "s" else sr.Until(t=1.0)
    sol = sr.follow(problem.flow, problem.theta0, clock=clock, until=until, rtol=rtol, quadratures=integrands)
    assert sol.nfev == sr.follow(problem.flow, problem.theta0, clock=clock, until=until, rtol=rtol).nfev
    end = sol.grid[-1]
    for name in integrands:
        rate = float(name.split()[1])
        truth = -np.expm1(-rate * end) / rate if name.startswith("fall") else np.sin(rate * end) / rate
        error, told = abs(sol[name][-1] - truth), sol.quadrature_errors[name]
        assert error <= 2 * told + 1e-14, name
        assert told <= 1e5 * error + 1e-8, name


def test_the_table_names_the_users_quadratures_alone(tmp_path):
    problem = wide()
    sol = sr.follow(problem.flow, problem.theta0, quadratures={"fall": lambda point: np.exp(-50 * point.clock)})
    shown = {check.name: check for check in sol.checks}
    assert shown["error of fall"].value == sol.quadrature_errors["fall"] > 0
    assert shown["error of fall"].bound is None
    assert f"{sol['fall'][-1]:.6g}" in shown["error of fall"].meaning
    assert "error of length" not in shown
    assert set(sol.quadrature_errors) == {"length", "output_length", "fall"}
    assert sol.to_dict()["quadrature_errors"] == sol.quadrature_errors
    loaded = io.load(io.save(sol, tmp_path / "run"))
    assert isinstance(loaded, sr.flows.FlowSolution)
    assert loaded.quadrature_errors == sol.quadrature_errors


def test_errors_of_two_pieces_add_up():
    problem = wide()
    options: Any = {"quadratures": {"fall": lambda point: np.exp(-50 * point.clock)}}
    whole = sr.follow(problem.flow, problem.theta0, **options)
    part = sr.follow(problem.flow, problem.theta0, **options, budget=sr.Budget(steps=3))
    assert 0 < part.quadrature_errors["fall"] < whole.quadrature_errors["fall"]
    assert sr.follow(problem.flow, part, **options).quadrature_errors == whole.quadrature_errors


def test_implicit_steps_have_an_honest_error_too():
    """A stiff linear standard flow: eigenvalues of D^T D from 1 to 1e6."""
    rng = np.random.default_rng(0)
    inputs = np.linalg.qr(rng.standard_normal((6, 2)))[0] * [1.0, 1e3]
    net = network([2, 1], inputs, "linear")
    flow = sr.flows.standard(net, sr.flows.squared_error(rng.standard_normal((6, 1))))
    wave = {"wave": lambda point: np.cos(point.clock)}
    sol = sr.follow(flow, net.initial(0), until=sr.Until(s=20.0), quadratures=wave, rtol=1e-5)
    assert sol.stats["jacobians"] > 0
    assert sol.state.stiff
    error = abs(sol["wave"][-1] - np.sin(20.0))
    assert 1e-12 < error <= 2 * sol.quadrature_errors["wave"] < 10.0


def test_order_and_scale_of_the_uncertainty():
    nodes = tableau().C[:12]
    sizes = np.geomspace(0.1, 0.5, 6)
    found = [quadrature_uncertainty(h, np.exp(h * nodes)[:, None])[0] for h in sizes]
    assert np.polyfit(np.log(sizes), np.log(found), 1)[0] == pytest.approx(8, abs=0.7)
    assert quadrature_uncertainty(0.5, np.zeros((12, 1)))[0] == 0.0
    assert quadrature_uncertainty(0.5, np.ones((12, 1)))[0] < 1e-16
    spike = np.eye(12)[:, [0]]  # seen by the first stage alone: nearly all of the sum is wrong
    assert quadrature_uncertainty(2.0, spike)[0] > 0.5 * quadrature(2.0, spike)[0]
