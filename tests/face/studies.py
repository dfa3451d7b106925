"""Small studies that the tests of figures, report and command line share."""

from functools import cache

import numpy as np

from subriem.cli import Settings, study_of
from subriem.zoo.data import Table, iris


def table(kind="class", conflict=False, rows=14):
    """Two features; data rows 3 and 9 are the same point, with the same target or another."""
    rng = np.random.default_rng(7)
    features = rng.standard_normal((rows, 2))
    features[8] = features[2]
    classes = ("<b>red</b>", "blue") if kind == "class" else ()
    if kind == "class":
        labels = (features[:, 0] > 0).astype(int)
        if conflict:
            labels[8] = 1 - labels[2]
        targets = np.eye(2)[labels]
    else:
        targets = np.sin(features[:, :1]) * 100 + 7
        if conflict:
            targets[8] += 50
    zeros, ones = np.zeros(2), np.ones(2)
    return Table("points & more.csv", features, ("width", "height"), targets, "colour", classes, kind, zeros, ones)


@cache
def study(kind="class", conflict=False, widths=(), seconds=60.0, seed=0):
    """Return a study of the table above; the command is what a report prints."""
    settings = Settings(
        widths=widths, seconds=seconds, seed=seed, standard_seconds=2.0, command="subriem flow 'points & more.csv'"
    )
    return study_of(table(kind, conflict), settings)


@cache
def damped_study():
    """Return the study of a network that is too small for the table, along the damped flow."""
    settings = Settings(widths=(2, 2, 1), damping=1e-2, seconds=2.0, standard_seconds=1.0, tolerance=1e-6)
    return study_of(table("number", conflict=True), settings)


@cache
def iris_study():
    """Return the study of the demo, with a standard flow of eight seconds."""
    return study_of(iris(), Settings(widths=(4, 128, 3), command="subriem demo"))
