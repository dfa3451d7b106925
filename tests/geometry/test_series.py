"""Geodesics by Taylor series: the same ends, and certificates that fail where they must."""

import sys

import casadi as ca
import numpy as np
import pytest

import subriem as sr
from subriem.geometry import series
from tests.geometry.structures import grushin, heisenberg, reference, se2

heyoka = pytest.importorskip("heyoka")


@pytest.mark.parametrize("structure", [heisenberg(), grushin(), se2()], ids=lambda s: s.name)
@pytest.mark.parametrize("time", [1.7, -1.7])
def test_the_ends_are_those_of_the_other_method(structure, time):
    rng = np.random.default_rng(0)
    q, p = rng.standard_normal((2, 13, structure.n))  # no multiple of the lanes
    found = structure.exponential(q, p, time, method="taylor")
    np.testing.assert_allclose(found, structure.exponential(q, p, time, rtol=1e-14), rtol=1e-12, atol=1e-12)


def test_one_geodesic_and_many_from_one_point():
    p = np.array([np.cos(0.3), np.sin(0.3), 1.7])
    one = heisenberg().exponential([0, 0, 0], p, 2.0, method="taylor")
    np.testing.assert_allclose(one, reference("heis_exp"), rtol=0, atol=1e-14)
    many = heisenberg().exponential([0, 0, 0], [p, -p], 2.0, method="taylor")
    assert many.shape == (2, 3)
    np.testing.assert_allclose(many[0], one, atol=1e-15)


def test_a_geodesic_that_escapes_is_named():
    escaping = sr.SubRiemannian.from_frame(lambda q: [[1 + q[0] ** 2]], 1)  # q = tan(p t)
    with pytest.raises(sr.SolveError, match="number 2") as caught:
        escaping.exponential([0.0], [[0.1], [0.2], [1.0]], 3.0, method="taylor")
    np.testing.assert_allclose(caught.value.solution[:2, 0], np.tan([0.3, 0.6]), rtol=1e-12)


def test_a_wrong_series_is_found_by_h_and_by_the_other_method(monkeypatch):
    """Rates with a wrong term keep no H; rates of another structure with the same H fail the sample."""
    structure = heisenberg()
    t, z, none = ca.SX.sym("t"), ca.SX.sym("z", 6), ca.SX.sym("none", 0)
    right = structure.normal.rates(z)
    p = [[0.6, 0.8, 1.0], [0.3, 0.4, 0.5]]

    def install(rates):
        structure.normal.__dict__["series"] = series_of(ca.Function("rates", [t, z, none], [rates]))

    series_of = type(structure.normal.series)
    install(right * ca.vertcat(1, 1, 1, 1.001, 1, 1))
    with pytest.raises(sr.SolveError, match="H is not constant"):
        structure.exponential([0, 0, 0], p, 1.0, method="taylor")
    install(1.001 * right)  # H is kept: the same curves, too fast
    with pytest.raises(sr.SolveError, match="do not agree"):
        structure.exponential([0, 0, 0], p, 1.0, method="taylor")
    monkeypatch.setattr(series, "relative_changes", lambda a, b: np.full(len(a), np.nan))
    install(right)
    with pytest.raises(sr.SolveError, match="do not agree"):
        structure.exponential([0, 0, 0], p, 1.0, method="taylor")


def test_the_fastest_geodesic_is_in_the_sample():
    structure, asked = heisenberg(), []
    q, p = np.zeros((100, 3)), np.full((100, 3), 0.1)
    p[37] = [3, 4, 5]

    def recorded(flow, q, p, time, tolerance):
        asked.append(p)
        return real(flow, q, p, time, tolerance)

    real = series.exponentials
    series.exponentials = recorded
    try:
        structure.exponential(q, p, 1.0, method="taylor")
    finally:
        series.exponentials = real
    assert len(asked[0]) <= series.SAMPLE
    assert [3, 4, 5] in asked[0].tolist()


def test_without_heyoka_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "heyoka", None)
    fresh = sr.SubRiemannian.from_frame(lambda q: [[1, 0, -q[1] / 7], [0, 1, q[0] / 5]], 3)  # not compiled before
    with pytest.raises(sr.MissingExtraError, match="taylor"):
        fresh.exponential([0, 0, 0], [0.1, 0.4, 0.5], 1.0, method="taylor")


def test_unknown_methods_are_refused():
    with pytest.raises(sr.ProblemError, match="unknown method"):
        heisenberg().exponential([0, 0, 0], [1, 0, 0], 1.0, method="euler")
