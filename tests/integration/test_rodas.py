"""The implicit step: its order, its stability, its error estimate, and what it does with NaN."""

import numpy as np
import pytest

from subriem.integration.rodas import ORDER, attempt


def pendulum(y: np.ndarray) -> np.ndarray:
    return np.array([y[1], -np.sin(y[0])])


def pendulum_jacobian(y: np.ndarray) -> np.ndarray:
    return np.array([[0.0, 1.0], [-np.cos(y[0]), 0.0]])


def end(steps: int, perturbation: float = 0.0) -> np.ndarray:
    y = np.array([1.0, 0.5])
    for _ in range(steps):
        y = attempt(pendulum, pendulum_jacobian(y) + perturbation, y, pendulum(y), 1.0 / steps).y
    return y


def test_the_step_has_order_four() -> None:
    from scipy.integrate import solve_ivp

    exact = solve_ivp(lambda t, y: pendulum(y), (0, 1), [1.0, 0.5], method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    counts = np.array([10, 20, 40, 80])
    errors = np.array([np.linalg.norm(end(n) - exact) for n in counts])
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(slope - ORDER) < 0.2
    wrong = np.array([np.linalg.norm(end(n, perturbation=0.3) - exact) for n in counts])
    assert -np.polyfit(np.log(counts), np.log(wrong), 1)[0] < ORDER - 0.5  # the Jacobian matters


def test_the_error_estimate_has_order_four_locally() -> None:
    y = np.array([1.0, 0.5])
    sizes = [np.linalg.norm(attempt(pendulum, pendulum_jacobian(y), y, pendulum(y), h).error) for h in (0.1, 0.05)]
    assert 3.5 < np.log2(sizes[0] / sizes[1]) < 4.6


@pytest.mark.parametrize("rate", [1e2, 1e6, 1e12])
def test_a_stiff_decay_is_damped_in_one_step(rate: float) -> None:
    """y' = -rate (y - 1): L-stable, and the stiffly accurate end lands on the slow manifold."""
    made = attempt(lambda y: -rate * (y - 1.0), np.array([[-rate]]), np.array([3.0]), np.array([-2.0 * rate]), 1.0)
    assert made.finite
    assert abs(made.y[0] - 1.0) < 20.0 / rate


def test_a_nan_stage_is_reported() -> None:
    calls = []

    def field(y: np.ndarray) -> np.ndarray:
        calls.append(1)
        return np.full(2, np.nan)

    made = attempt(field, np.zeros((2, 2)), np.zeros(2), np.ones(2), 0.1)
    assert not made.finite
    assert len(calls) == 1


def test_a_singular_matrix_is_reported() -> None:
    made = attempt(lambda y: y, np.array([[4.0]]), np.array([1.0]), np.array([1.0]), 1.0)  # 1/(gamma h) = 4
    assert not made.finite
