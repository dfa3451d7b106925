"""Exponential maps: one geodesic, its derivative, and thousands of them, against closed forms."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from subriem.zoo.spaces import Space, free_nilpotent, get, heisenberg
from tests.benchmarks.conftest import Measure
from tests.benchmarks.peers import geomstats_heisenberg

pytestmark = pytest.mark.benchmark(timer=time.process_time)
#: Calls of what takes less than a millisecond in each round, and geodesics at once.
CALLS, MANY = 200, 10_000
COVECTORS: dict[str, list[float]] = {
    "heisenberg": [np.cos(0.3), np.sin(0.3), 1.7],
    "martinet": [0.96, 0.28, 1.5],
    "se2": [0.5, 0.4, np.sqrt(0.75)],
}


def error(space: Space, p: Any, end: Any) -> float:
    """Largest error relative to 1 + |q|, at time 2 from the origin."""
    exact = space.exponential(space.origin, p, 2.0)
    assert exact is not None
    return float(np.abs(end - exact).max() / (1.0 + np.abs(exact).max()))


@pytest.mark.parametrize("method", ["dop853", "taylor"])
@pytest.mark.parametrize("name", COVECTORS)
def test_one_geodesic_in_three_dimensions(measure: Measure, name: str, method: Any) -> None:
    if method == "taylor":
        pytest.importorskip("heyoka")
    space, p = get(name), np.array(COVECTORS[name])

    def shots() -> Any:
        return [space.structure.exponential(space.origin, p, 2.0, method=method) for _ in range(CALLS)][-1]

    end = measure("exp in dimension 3, 1e-12", f"{name}, {method}", shots, rounds=20)
    measure.row |= {"ms each": measure.row.get("ms", np.nan) / CALLS, "error": error(space, p, end)}
    assert measure.row["error"] <= 1e-12


@pytest.mark.parametrize("space", [get("heisenberg"), get("engel"), heisenberg(5), free_nilpotent(3, 3)], ids=str)
def test_a_geodesic_with_its_derivative(measure: Measure, space: Space) -> None:
    q, p = space.origin, np.random.default_rng(0).standard_normal(space.structure.n)
    group = "geodesic with derivative, 1e-12"
    rank = measure(
        group, space.title, lambda: np.linalg.matrix_rank(space.structure.shoot(q, p, 1.0).jacobian()), rounds=20
    )
    measure.row["n"] = space.structure.n
    assert rank == space.structure.n


@pytest.mark.parametrize("method", ["dop853", "taylor"])
@pytest.mark.parametrize("name", ["heisenberg", "se2"])
def test_thousands_of_geodesics(measure: Measure, name: str, method: Any) -> None:
    if method == "taylor":
        pytest.importorskip("heyoka")
    space = get(name)
    p = np.random.default_rng(0).standard_normal((MANY, 3))
    speeds = np.hypot(p[:, 0], p[:, 1] if name == "heisenberg" else p[:, 2])
    p /= speeds[:, None]
    p = p[np.abs(p).max(axis=1) < 5][: MANY // 2]  # unit speed, curvature at most 5

    def shots() -> Any:
        return space.structure.exponential(space.origin, p, 2.0, method=method)

    ends = measure(f"{name}, {len(p)} geodesics of length 2, 1e-12", method, shots, rounds=3)
    worst = max(error(space, p[i], ends[i]) for i in range(0, len(p), 50))
    measure.row |= {"geodesics/s": 1e3 * len(p) / measure.row.get("ms", np.nan), "error": worst}
    assert worst <= 1e-11


@pytest.mark.parametrize("steps", [None, 20, 200])
def test_side_by_side_with_geomstats(measure: Measure, steps: int | None) -> None:
    peer, space = geomstats_heisenberg(), get("heisenberg")
    angles = np.linspace(0.0, 2 * np.pi, 10)
    covectors = np.column_stack([np.cos(angles), np.sin(angles), np.linspace(-1.7, 1.7, 10)])

    def worst(ends: Any) -> float:
        return max(error(space, p, end) for p, end in zip(covectors, ends, strict=True))

    def ends() -> Any:
        if steps is None:
            return [space.structure.exponential(space.origin, p, 2.0) for p in covectors]
        return [peer(p, 2.0, steps) for p in covectors]

    method = "subriem, dop853, 1e-12" if steps is None else f"geomstats, {steps} steps"
    found = measure("Heisenberg, ten geodesics of length 2 one by one", method, ends, rounds=3 if steps else 100)
    measure.row |= {"ms each": measure.row.get("ms", np.nan) / len(covectors), "error": worst(found)}
    if steps is None:
        assert measure.row["error"] <= 1e-12
    else:  # the peer solves the same problem, to first order
        coarser = worst([peer(p, 2.0, steps // 2) for p in covectors])
        assert 1.5 < coarser / measure.row["error"] < 3.0
