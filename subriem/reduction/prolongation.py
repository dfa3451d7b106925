"""The differentiated system: each equation as often as its offset asks, in the jets up to the offsets d."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import casadi as ca
import numpy as np
from scipy.sparse import csc_array

from subriem.core.casadi_map import BufferedFunction
from subriem.core.errors import ReductionError
from subriem.core.protocols import Array
from subriem.reduction.dae import DAE
from subriem.reduction.jets import jet_name
from subriem.reduction.protocols import Place


class Prolongation:
    """The equations f_i^(k), k <= c_i, in the jets y_j^(l), l <= d_j.

    Parameters
    ----------
    dae : DAE
    c, d : sequence of int
        Offsets with d_j - c_i >= sigma_ij, so that no higher derivative occurs. An equation with c_i < 0 is left out.

    Attributes
    ----------
    rows, columns : tuple of (int, int)
        (i, k) of each differentiated equation, (j, l) of each jet, both in this order of the indices.
    """

    def __init__(self, dae: DAE, c: Sequence[int], d: Sequence[int]) -> None:
        self.dae = dae
        self.c, self.d = tuple(int(k) for k in c), tuple(int(k) for k in d)
        self.rows: tuple[Place, ...] = tuple((i, k) for i, top in enumerate(self.c) for k in range(top + 1))
        self.columns: tuple[Place, ...] = tuple((j, k) for j, top in enumerate(self.d) for k in range(top + 1))
        self.jets, self.q, residuals = dae.symbols()
        active = [i for i, top in enumerate(self.c) if top >= 0]
        found = self.jets.derivatives(residuals[active], [self.c[i] for i in active])
        self._levels = {
            (i, k): level for i, levels in zip(active, found, strict=True) for k, level in enumerate(levels)
        }

    def expressions(self, rows: Sequence[Place]) -> ca.SX:
        """Return the column of the f_i^(k) at the places (i, k)."""
        return ca.vertcat(*(self._levels[row] for row in rows)) if rows else ca.SX(0, 1)

    def row_name(self, row: Place) -> str:
        """Return rod, rod', … for a place (i, k)."""
        return jet_name(self.dae.equations[row[0]], row[1])

    def column_name(self, column: Place) -> str:
        """Return x, x', … for a place (j, l)."""
        return jet_name(self.dae.variables[column[0]], column[1])

    @cached_property
    def top_rows(self) -> tuple[Place, ...]:
        """(i, c_i): the equations of the system Jacobian."""
        return tuple((i, top) for i, top in enumerate(self.c) if top >= 0)

    @property
    def top_columns(self) -> tuple[Place, ...]:
        """(j, d_j): the unknowns of the system Jacobian, highest derivatives and algebraic variables."""
        return tuple(enumerate(self.d))

    @property
    def state_columns(self) -> tuple[Place, ...]:
        """(j, l), l < d_j: the state of the reduced system."""
        return tuple(place for place in self.columns if place[1] < self.d[place[0]])

    @property
    def invariant_rows(self) -> tuple[Place, ...]:
        """(i, k), k < c_i: the constraints between the states."""
        return tuple(place for place in self.rows if place[1] < self.c[place[0]])

    @cached_property
    def _unknowns(self) -> ca.SX:
        return self.jets.stack(self.columns)

    @cached_property
    def _residual(self) -> BufferedFunction:
        return self._compile(self.expressions(self.rows))

    @cached_property
    def _jacobian(self) -> tuple[BufferedFunction, csc_array]:
        """The entries of the Jacobian as a function, and its pattern (CasADi keeps columns, so this does)."""
        matrix = ca.jacobian(self.expressions(self.rows), ca.vertcat(self._unknowns, self.jets.t))
        starts, rows = matrix.sparsity().get_ccs()
        pattern = csc_array((np.ones(len(rows)), np.array(rows, dtype=int), np.array(starts)), shape=matrix.shape)
        return self._compile(ca.vec(matrix.nz[:])), pattern

    def _compile(self, expression: ca.SX) -> BufferedFunction:
        arguments = [self.jets.t, self._unknowns, self.q]
        try:
            return BufferedFunction(ca.Function("prolonged", arguments, [ca.cse(ca.densify(expression))]))
        except RuntimeError as error:  # free variables: jets above the offsets
            raise ReductionError(
                "the offsets do not cover the differentiated equations",
                str(error).splitlines()[0],
                "d_j - c_i >= the order of variable j in equation i",
                "offsets from structure.analyse",
            ) from error

    def residual(self, t: float, jets: Array, q: Array) -> Array:
        """Return the f_i^(k) at `rows`, for the values of the jets at `columns`."""
        return self._residual(np.array([t]), jets, q)

    def jacobian(self, t: float, jets: Array, q: Array) -> Array:
        """Return their derivatives with respect to the jets, and to t in the last column."""
        return self.sparse_jacobian(t, jets, q).toarray()

    def sparse_jacobian(self, t: float, jets: Array, q: Array) -> csc_array:
        """Return the same as a sparse array."""
        function, pattern = self._jacobian
        entries = function(np.array([t]), jets, q)
        return csc_array((entries, pattern.indices, pattern.indptr), shape=pattern.shape)

    def sparse_block(
        self, t: float, jets: Array, q: Array, rows: Sequence[Place], columns: Sequence[Place]
    ) -> csc_array:
        """Return the derivatives of the f_i^(k) at some places (i, k) with respect to jets at some places (j, l)."""
        row_of = {place: index for index, place in enumerate(self.rows)}
        column_of = {place: index for index, place in enumerate(self.columns)}
        matrix = self.sparse_jacobian(t, jets, q)
        return csc_array(matrix[[row_of[place] for place in rows]][:, [column_of[place] for place in columns]])
