"""The incidence of a DAE in block-triangular form."""

from __future__ import annotations

from typing import Any

import numpy as np

from subriem.core.errors import optional_import
from subriem.plot.style import ADAPTED, MARK, SECOND, STANDARD, THEORY, legend, new_figure, titled
from subriem.reduction.structure import Structure

#: Up to this many equations and variables, names and orders are written.
WRITTEN = 40
LOWER = "#b0b0b0"


def incidence_figure(structure: Structure) -> Any:
    """Plot which variable occurs in which equation, permuted to block-triangular form.

    The overdetermined part comes first, then the blocks in an order of solution, then the underdetermined part: what is
    right of a block's own unknowns it does not use at the orders of the system Jacobian J. Small systems show the order
    of each entry, and beside the names how often an equation is differentiated, c, and the highest order of a
    variable, d; entries of J are those with order d - c.

    Parameters
    ----------
    structure : Structure

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from subriem.reduction.structure import Sigma, analyse
    >>> incidence_figure(analyse(Sigma.from_entries([0, 0], [0, 1], [1, 0], (1, 2)))).axes[0].get_title(loc="left")
    'Incidence: structural index 1, structural freedom 1'
    """
    rows, cols = _permutation(structure)
    place_of_row, place_of_col = np.argsort(rows), np.argsort(cols)
    written = max(rows.size, cols.size) <= WRITTEN
    figure, (axes,) = new_figure(*(_written_size(structure) if written else (7.2, 7.6)))
    axes.grid(visible=False)
    _parts(axes, structure, written)
    x, y, leading = place_of_col[structure.sigma.cols], place_of_row[structure.sigma.rows], structure.leading
    if written:
        axes.scatter(x[leading], y[leading], marker="s", s=170, color=ADAPTED)
        for j, i, order, strong in zip(x, y, structure.sigma.orders, leading, strict=True):
            axes.text(j, i, str(order), ha="center", va="center", color="white" if strong else THEORY, fontsize=9.5)
    else:
        size = max(2.5, (300.0 / max(rows.size, cols.size)) ** 2)
        for chosen, color in ((~leading, LOWER), (leading, ADAPTED)):
            axes.scatter(x[chosen], y[chosen], marker="s", s=size, lw=0, color=color, rasterized=True)
    axes.plot([], [], "s", color=ADAPTED, ms=9, label="entry of J")
    lower = {"marker": "$0$", "color": THEORY} if written else {"marker": "s", "color": LOWER}
    axes.plot([], [], ls="", ms=7, label="lower order", **lower)
    axes.set_xlim(-0.6, max(cols.size, 1) - 0.4)
    axes.set_ylim(max(rows.size, 1) - 0.4, -0.6)
    title = f"Incidence: structural index {structure.index}, structural freedom {structure.freedom}"
    if written:
        names = [f"{structure.variables[j]}  {structure.d[j]}" for j in cols]
        axes.set_xticks(range(cols.size), names, rotation=90)
        axes.set_yticks(range(rows.size), [f"{structure.equations[i]}  {structure.c[i]}" for i in rows])
        titled(axes, title, "variable and its d", "equation and its c")
    else:
        titled(axes, title, "variables, permuted", "equations, permuted")
    legend(figure, [axes])
    return figure


def _permutation(structure: Structure) -> tuple[Any, Any]:
    """Return rows and columns in the order drawn, matched ones on a diagonal within each part."""
    rows, cols = [], []
    for part in (structure.over, *structure.blocks, structure.under):
        matched = part.rows[structure.match[part.rows] >= 0]
        partners = structure.match[matched]
        rows += [matched, np.setdiff1d(part.rows, matched)]
        cols += [partners, np.setdiff1d(part.cols, partners)]
    return np.concatenate(rows), np.concatenate(cols)


def _written_size(structure: Structure) -> tuple[float, float]:
    """Return a size in inches at which a cell holds its digit and names stand beside the axes."""
    longest = [max(map(len, names), default=0) for names in (structure.equations, structure.variables)]
    m, n = len(structure.equations), len(structure.variables)
    return max(5.4, 1.4 + 0.09 * longest[0] + 0.28 * n), max(2.2, 0.28 * m) + 0.09 * longest[1] + 1.9


def _parts(axes: Any, structure: Structure, written: bool) -> None:
    """Frame each block and part, shade the rows of the overdetermined part and the columns of the other.

    Shading reaches to the edges, so that equations without variables and variables without equations are seen.
    """
    patches = optional_import("matplotlib.patches", "plot")
    collections = optional_import("matplotlib.collections", "plot")
    m, n, over, under = len(structure.equations), len(structure.variables), structure.over, structure.under
    first, last = over.rows.size - 0.5, n - under.cols.size - 0.5
    if over:
        shade = {"color": STANDARD, "alpha": 0.15, "lw": 0, "label": "overdetermined"}
        axes.add_patch(patches.Rectangle((-0.5, -0.5), n, over.rows.size, **shade))
    if under:
        shade = {"color": SECOND, "alpha": 0.18, "lw": 0, "label": "underdetermined"}
        axes.add_patch(patches.Rectangle((last, first), under.cols.size, m - over.rows.size, **shade))
    coloured = [(over, STANDARD), *((block, MARK) for block in structure.blocks), (under, SECOND)]
    frames, colors, x, y = [], [], -0.5, -0.5
    for part, color in coloured:
        height, width = part.rows.size, part.cols.size
        if height and width and (written or height > 1):
            frames.append(patches.Rectangle((x, y), width, height))
            colors.append(color)
        x, y = x + width, y + height
    axes.add_collection(collections.PatchCollection(frames, facecolor="none", edgecolor=colors, lw=1.4))
    if structure.blocks:
        axes.plot([], [], "s", mfc="none", mec=MARK, ms=9, label="block")
