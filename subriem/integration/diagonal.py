"""What of the system Jacobian can lose rank along a path: its diagonal blocks, as far as they change.

A square Jacobian in block triangular form is singular iff one of its diagonal blocks is. A block that depends on the
data alone stays as regular as it was at the start.
"""

from __future__ import annotations

import casadi as ca

from subriem.core.protocols import Array
from subriem.integration.batch import Batch
from subriem.reduction.faces import Faces


class DiagonalBlocks:
    """The diagonal blocks of the system Jacobian that change with time or state.

    Parameters
    ----------
    faces : Faces
    rank : int
        That of the Jacobian of all equations.

    Attributes
    ----------
    sizes : tuple of (int, int)
        Rows and columns, one entry a block; a Jacobian that is not square, or not of full rank, is one block.
    """

    def __init__(self, faces: Faces, rank: int) -> None:
        t, z, a, q = (ca.SX.sym(name, faces.tops.numel_in(i)) for i, name in enumerate("tzaq"))
        tops = ca.SX.sym("tops", faces.tops.numel_out(0))
        jacobian = ca.jacobian(faces.reduced(t, z, tops, q), tops)
        blocks = [jacobian[rows, columns] for rows, columns in _diagonal(jacobian.sparsity(), rank)]
        changing = [block for block in blocks if block.numel() and ca.depends_on(block, ca.vertcat(t, z, tops))]
        changing.sort(key=lambda block: block.shape)
        self.sizes = tuple(block.shape for block in changing)
        self._batch: Batch | None = None
        if changing:
            entries = ca.vertcat(*(ca.vec(ca.densify(block.T)) for block in changing))
            inner = ca.Function("blocks", [t, z, tops, q], [entries])
            self._batch = Batch(ca.Function("blocks", [t, z, a, q], [inner(t, z, faces.tops(t, z, a, q), q)]))

    def __call__(self, t: Array, z: Array, a: Array, data: Array) -> list[Array]:
        """Return the blocks at N points, those of one size together: (N, how many, rows, columns)."""
        if self._batch is None:
            return []
        (entries,) = self._batch(t, z, a, data)
        found, first = [], 0
        for rows, columns in dict.fromkeys(self.sizes):
            count = self.sizes.count((rows, columns))
            last = first + count * rows * columns
            found.append(entries[:, first:last].reshape((t.size, count, rows, columns)))
            first = last
        return found


def _diagonal(sparsity: ca.Sparsity, rank: int) -> list[tuple[list[int], list[int]]]:
    """Return rows and columns of the diagonal blocks; all of them where there is no block triangular form."""
    rows, columns = sparsity.shape
    if not rows == columns == rank or ca.sprank(sparsity) < rank:
        return [(list(range(rows)), list(range(columns)))]
    count, row_order, column_order, row_ends, column_ends, *_ = sparsity.btf()
    return [
        (list(row_order[row_ends[i] : row_ends[i + 1]]), list(column_order[column_ends[i] : column_ends[i + 1]]))
        for i in range(count)
    ]
