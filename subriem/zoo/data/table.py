"""A CSV file as features and targets; every way in which it can be wrong is named with its row and column."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.zoo.data.cells import DELIMITERS, listed, read_cells

Kind = Literal["class", "number"]
#: Cells that stand for a missing value, in lower case.
MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})


@dataclass(frozen=True, eq=False)
class Table:
    """Samples with numeric features and one target; made by `read_table` or `iris`.

    Attributes
    ----------
    source : str
        Name of the file.
    features : (N, p) ndarray
    feature_names : tuple of str
    targets : (N, Q) ndarray
        One column a class, 1 for the class of the sample and 0 elsewhere; or one column of numbers.
    target_name : str
    classes : tuple of str
        Names of the classes, sorted; empty for a numeric target.
    kind : {"class", "number"}
    means, scales : (p,) ndarray
        features = (raw - means)/scales: 0 and 1 for a table as read.
    target_mean, target_scale : float
        The same of a numeric target.

    Examples
    --------
    >>> table = iris()
    >>> table.features.shape, table.classes
    ((150, 4), ('setosa', 'versicolor', 'virginica'))
    """

    source: str
    features: Array
    feature_names: tuple[str, ...]
    targets: Array
    target_name: str
    classes: tuple[str, ...]
    kind: Kind
    means: Array
    scales: Array
    target_mean: float = 0.0
    target_scale: float = 1.0

    @property
    def samples(self) -> int:
        """N."""
        return self.features.shape[0]

    def standardised(self) -> Table:
        """Return the table with features of mean 0 and standard deviation 1 (ddof 0), and a numeric target likewise.

        Returns
        -------
        Table
            It keeps means and scales, so that raw values are scales * features + means.

        Raises
        ------
        ProblemError
            If a column is too large or varies too little for float64.

        Examples
        --------
        >>> z = iris().standardised()
        >>> bool(abs(z.features.std(axis=0) - 1).max() < 1e-12), z.means.round(2)
        (True, array([5.84, 3.06, 3.76, 1.2 ]))
        """
        features, means, scales = _zscores(self.features, self.feature_names)
        raw = self.scales * means + self.means, self.scales * scales
        table = replace(self, features=features, means=raw[0], scales=raw[1])
        if self.kind == "class":
            return table
        targets, mean, scale = _zscores(self.targets, (self.target_name,))
        offset = self.target_scale * float(mean[0]) + self.target_mean
        return replace(table, targets=targets, target_mean=offset, target_scale=self.target_scale * float(scale[0]))

    def raw_features(self) -> Array:
        """Return the features in the units of the file, shape (N, p)."""
        return self.scales * self.features + self.means

    def label(self, sample: int) -> str:
        """Return the target of a sample (counted from 0) as the file has it: its class, or its number."""
        if self.kind == "class":
            return self.classes[int(np.argmax(self.targets[sample]))]
        return f"{self.target_scale * self.targets[sample, 0] + self.target_mean:.6g}"


def _zscores(columns: Array, names: Sequence[str]) -> tuple[Array, Array, Array]:
    with np.errstate(over="ignore", invalid="ignore"):
        means = columns.mean(axis=0)
        scales = columns.std(axis=0)
        scaled = (columns - means) / np.where(scales > 0, scales, 1.0)
    bad = [name for j, name in enumerate(names) if not (0 < scales[j] < np.inf)]
    if bad:
        raise ProblemError(
            "a column cannot be brought to mean 0 and standard deviation 1",
            f"{listed(bad)}: the standard deviation is 0 or overflows",
            "values whose squares fit into float64",
            "rescale the column, or --ignore it (ignore=[…] in Python)",
        )
    return scaled, means, scales


def read_table(
    path: str | os.PathLike[str],
    target: str,
    *,
    kind: Literal["auto", "class", "number"] = "auto",
    ignore: Iterable[str] = (),
) -> Table:
    r"""Read a CSV file with a header, numeric features and one target column.

    Parameters
    ----------
    path : path
        UTF-8 text (with or without byte order mark), separated by commas, semicolons or tabs; cells may be quoted.
    target : str
        Name of the target column.
    kind : {"auto", "class", "number"}
        What the target is. "auto" takes numbers as numbers and text as classes; classes that are written as numbers
        need "class".
    ignore : iterable of str
        Columns left out.

    Returns
    -------
    Table

    Raises
    ------
    ProblemError
        If the file is missing, binary, empty or has fewer than two data rows; a row has another number of cells; a
        name stands twice or nowhere; a value is missing, infinite or no number; a column or the target is constant.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "points.csv"
    >>> _ = path.write_text("x;y\n0.5;1\n1.5;3\n")
    >>> table = read_table(path, "y")
    >>> table.features.ravel(), table.targets.ravel(), table.kind
    (array([0.5, 1.5]), array([1., 3.]), 'number')
    """
    if kind not in ("auto", "class", "number"):
        raise ProblemError("read_table: unknown kind", repr(kind), "'auto', 'class' or 'number'", "kind='auto'")
    source = Path(path)
    names, rows, lines = read_cells(source)
    wanted = _chosen(names, target, tuple(ignore))
    _check_missing(rows, lines, names, [*wanted, names.index(target)], [target])
    features = _numbers(rows, lines, names, wanted, [target])
    _check_constant(features, [names[j] for j in wanted])
    texts = [row[names.index(target)] for row in rows]
    found = _kind(texts) if kind == "auto" else kind
    classes: tuple[str, ...] = ()
    if found == "class":
        classes, targets = _one_hot(texts, target)
    else:
        targets = _numbers(rows, lines, names, [names.index(target)], [target])
        if np.ptp(targets) == 0:
            raise ProblemError(
                "the target is constant", f"{target} = {texts[0]} in all {len(texts)} rows", "a target that varies",
                "another --target",
            )  # fmt: skip
    count = len(wanted)
    return Table(
        source.name, features, tuple(names[j] for j in wanted), targets, target, classes, found,
        np.zeros(count), np.ones(count),
    )  # fmt: skip


def read_features(path: str | os.PathLike[str], names: Sequence[str]) -> Array:
    r"""Read some columns of a CSV file by name, in the order wanted; other columns may hold anything.

    Parameters
    ----------
    path : path
        A file as for `read_table`; one data row is enough.
    names : sequence of str

    Returns
    -------
    (m, p) ndarray
        In the units of the file.

    Raises
    ------
    ProblemError
        If the file cannot be read, a column is not there, or a cell is missing, infinite or no number.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "new.csv"
    >>> _ = path.write_text("name,x,y\nA,1,2\n")
    >>> read_features(path, ["y", "x"])
    array([[2., 1.]])
    """
    found, rows, lines = read_cells(Path(path), least=1)
    if absent := [name for name in names if name not in found]:
        near = get_close_matches(absent[0], found, 1, cutoff=0.6)
        hint = f"rename {near[0]!r} to {absent[0]!r}" if near else "the columns of the table that was fitted"
        raise ProblemError("columns are not there", listed(absent), f"the columns {listed(names, 30)}", hint)
    wanted = [found.index(name) for name in names]
    _check_missing(rows, lines, found, wanted, names)
    return _numbers(rows, lines, found, wanted, names)


def iris() -> Table:
    """Return the iris data: 150 flowers of 3 species, 4 lengths in cm each.

    Rows 102 and 143 (both virginica, counted from 1) are the same flower measurements: whatever a network computes,
    its outputs there agree, so the rank of D falls short by one for each output.

    Returns
    -------
    Table

    References
    ----------
    R. A. Fisher, The use of multiple measurements in taxonomic problems, Annals of Eugenics 7 (1936) 179-188; with
    rows 35 and 38 as in Fisher's paper, as R and scikit-learn have them (the copy at the UCI repository differs there).

    Examples
    --------
    >>> table = iris()
    >>> bool((table.features[101] == table.features[142]).all()), table.label(101)
    (True, 'virginica')
    """
    with as_file(files("subriem.zoo.data") / "iris.csv") as path:
        return read_table(path, "species")


# -- which columns, and what is in them --------------------------------------------------------------------------


def _chosen(names: list[str], target: str, ignore: tuple[str, ...]) -> list[int]:
    """Return the positions of the feature columns."""
    for name in (target, *ignore):
        if name not in names:
            what = "the target is not a column" if name == target else "a column to ignore is not there"
            near = get_close_matches(name, names, 1, cutoff=0.6) or [n for n in names if n.lower() == name.lower()]
            hint = f"{'--target' if name == target else '--ignore'} {near[0] if near else names[-1]!r}"
            raise ProblemError(what, repr(name), f"one of {listed(names, 30)}", hint)
    if target in ignore:
        raise ProblemError("the target is ignored", repr(target), "a target that is kept", f"drop --ignore {target}")
    wanted = [j for j, name in enumerate(names) if name != target and name not in ignore]
    if not wanted:
        raise ProblemError(
            "the target is the only column",
            f"columns {listed(names)}" + (f", ignored {listed(ignore)}" if ignore else ""),
            "at least one feature",
            f"columns are separated by one of {', '.join(repr(d) for d in DELIMITERS)}: check the delimiter",
        )
    return wanted


# -- the cells as numbers and classes --------------------------------------------------------------------------


def _number(text: str) -> float | None:
    # float() would also take "1_000", which no CSV writer means as a number
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _or_ignored(name: str, needed: Collection[str]) -> str:
    """Return the advice to leave a column out, where that is possible."""
    return "" if name in needed else f", or leave the column out: --ignore {name!r}"


def _check_missing(
    rows: list[list[str]], lines: list[int], names: list[str], columns: list[int], needed: Collection[str]
) -> None:
    missing = [(i, j) for i, row in enumerate(rows) for j in sorted(columns) if row[j].lower() in MISSING]
    if not missing:
        return
    i, j = missing[0]
    affected = len({row for row, _ in missing})
    raise ProblemError(
        "values are missing",
        f"{len(missing)} in {affected} of {len(rows)} rows; the first is {rows[i][j]!r} in column {names[j]!r}, "
        f"data row {i + 1} (line {lines[i]})",
        "a number in each cell (a class in the target)",
        f"drop or fill these rows{_or_ignored(names[j], needed)}",
    )


def _numbers(
    rows: list[list[str]], lines: list[int], names: list[str], columns: list[int], needed: Collection[str]
) -> Array:
    """Return columns as numbers, shape (N, len(columns))."""
    values = np.empty((len(rows), len(columns)))
    for i, row in enumerate(rows):
        for k, j in enumerate(columns):
            number = _number(row[j])
            where = f"column {names[j]!r}, data row {i + 1} (line {lines[i]}): {row[j]!r}"
            if number is None:
                comma = _number(row[j].replace(",", "."))
                advice = f"encode the column as numbers{_or_ignored(names[j], needed)}"
                hint = advice if comma is None else "write decimals with a point: " + row[j].replace(",", ".")
                raise ProblemError("a cell is not a number", where, "numbers", hint)
            if not np.isfinite(number):
                hint = f"drop the row{_or_ignored(names[j], needed)}"
                raise ProblemError("a value is infinite", where, "finite numbers", hint)
            values[i, k] = number
    return values


def _check_constant(features: Array, names: list[str]) -> None:
    constant = [name for j, name in enumerate(names) if np.ptp(features[:, j]) == 0]
    if constant:
        flags = " ".join(f"--ignore {name!r}" for name in constant[:6])
        raise ProblemError(
            "columns are constant and tell nothing", listed(constant), "features that vary", f"leave them out: {flags}"
        )


def _kind(texts: list[str]) -> Kind:
    return "number" if all(_number(text) is not None for text in texts) else "class"


def _one_hot(texts: list[str], target: str) -> tuple[tuple[str, ...], Array]:
    """Return the sorted class names and one column of 0 and 1 for each."""
    found = set(texts)
    numeric = all(_number(name) is not None for name in found)
    classes = sorted(found, key=lambda name: (float(name), name)) if numeric else sorted(found)
    if len(classes) == 1:
        got = f"{target} = {classes[0]!r} in all rows"
        raise ProblemError("the target has a single class", got, "two classes or more", "another --target")
    if len(classes) == len(texts):
        raise ProblemError(
            "the target has a class of its own for each row",
            f"{target}: {len(classes)} different values, first {listed(texts[:3])}",
            "classes that several rows share",
            "--kind number for numbers (then every cell must be one), or another --target",
        )
    place = {name: q for q, name in enumerate(classes)}
    return tuple(classes), np.eye(len(classes))[[place[text] for text in texts]]
