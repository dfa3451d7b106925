"""DAEs and reductions as plain values and arrays, and back."""

from __future__ import annotations

from subriem.core.rank import RankDecision, RankPolicy
from subriem.core.records import Records
from subriem.reduction.certificate import Certificate
from subriem.reduction.consistent import ConsistentPoint
from subriem.reduction.dae import DAE
from subriem.reduction.declare import Input
from subriem.reduction.reduction import Reduction
from subriem.reduction.repair import Combination
from subriem.reduction.selection import Selection
from subriem.reduction.structure import Block, Part, Sigma, Structure

#: Everything a reduction is made of.
CLASSES = (
    DAE,
    Input,
    Reduction,
    Combination,
    Structure,
    Sigma,
    Part,
    Block,
    ConsistentPoint,
    Certificate,
    Selection,
    RankDecision,
    RankPolicy,
)
RECORDS = Records(CLASSES)
