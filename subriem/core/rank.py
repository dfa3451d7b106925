"""The one place where "is this singular value zero?" is asked, and the record of the answer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subriem.core.errors import ProblemError, RankError

EPS = float(np.finfo(float).eps)
#: A Gram matrix squares the singular values: ratios below sqrt(eps), with a margin, are lost in its roundoff.
GRAM_RESOLUTION = 1e-7
#: Largest explicit D (bytes) that may be formed to decide a rank.
DENSE_BYTES = 2**31


class RankWarning(UserWarning):
    """A rank was decided although the singular values do not separate clearly."""


@dataclass(frozen=True)
class RankDecision:
    """A recorded answer to "which singular values are zero?".

    Attributes
    ----------
    rank : int
        Number of singular values above `floor`.
    size : int
        Number of singular values there are, min(n, K).
    sigma_max, sigma_rank, sigma_next : float
        Largest, smallest kept and largest dropped singular value (`sigma_next` = 0 at full rank).
    floor : float
        The cut-off, in the units of the singular values.
    gap : float
        sigma_rank / max(sigma_next, eps sigma_max).
    ambiguous : bool
        Whether the gap is below the policy's `min_gap`, a singular value lies within a factor 3 of the floor, or
        only extreme values were seen and the floor lies between them (`rank` is then an upper bound).
    resolution : float
        Smallest ratio sigma/sigma_max the method that computed the values can tell from zero.
    sigma : (m,) ndarray
        The singular values seen, decreasing: all of them, or the extreme ones where only these were estimated.

    Examples
    --------
    >>> decision = RankPolicy().decide([3.0, 0.2, 1e-15])
    >>> decision.rank, decision.ambiguous
    (2, False)
    """

    rank: int
    size: int
    sigma_max: float
    sigma_rank: float
    sigma_next: float
    floor: float
    gap: float
    ambiguous: bool
    resolution: float
    sigma: NDArray[np.float64]

    @property
    def full(self) -> bool:
        """Whether no singular value was dropped."""
        return self.rank == self.size

    @property
    def cond(self) -> float:
        """sigma_max / sigma_rank, the condition number on the range."""
        return self.sigma_max / self.sigma_rank if self.rank else np.inf

    def __str__(self) -> str:
        values = f"{self.sigma_max:.2e} … {self.sigma_rank:.2e} | {self.sigma_next:.1e}"
        return f"rank {self.rank} of {self.size} (singular values {values}, gap {self.gap:.1e})"


@dataclass(frozen=True)
class RankPolicy:
    """How small a singular value may be before it counts as zero.

    Parameters
    ----------
    rtol : float
        Cut-off relative to the largest singular value now, or along the path if that was larger.
    atol : float, optional
        Absolute cut-off; replaces the relative one.
    min_gap : float
        A decision whose kept and dropped values are closer than this factor is ambiguous.
    on_ambiguous : {"warn", "raise", "ignore"}
        What a caller does with an ambiguous decision.

    Raises
    ------
    ProblemError
        If a tolerance is not a positive finite number, rtol >= 1, or `on_ambiguous` is unknown.

    Notes
    -----
    floor = atol, or rtol * max(sigma_max, scale). A caller that walks a path passes its largest sigma_max as
    `scale`: so a 1 x 1 Jacobian that goes to 0 is a loss of rank.

    Examples
    --------
    >>> RankPolicy(rtol=1e-6).decide([1.0, 1e-9]).rank
    1
    >>> RankPolicy().decide([1e-9], scale=1e3).rank
    0
    """

    rtol: float = 1e-10
    atol: float | None = None
    min_gap: float = 1e3
    on_ambiguous: Literal["warn", "raise", "ignore"] = "warn"

    def __post_init__(self) -> None:
        for name in ("rtol", "atol", "min_gap"):
            value = getattr(self, name)
            if name == "atol" and value is None:
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float | np.integer | np.floating)
                or not np.isfinite(value)
                or value <= 0
            ):
                raise ProblemError(
                    f"RankPolicy: {name} is not a positive finite number",
                    f"{name} = {value!r}",
                    "a float > 0, for example rtol=1e-10",
                    "leave it out to take the default",
                )
        if self.rtol >= 1:
            raise ProblemError(
                "RankPolicy: rtol drops everything", f"rtol = {self.rtol!r}", "0 < rtol < 1", "rtol=1e-10"
            )
        if self.on_ambiguous not in ("warn", "raise", "ignore"):
            raise ProblemError(
                "RankPolicy: unknown on_ambiguous",
                repr(self.on_ambiguous),
                "'warn', 'raise' or 'ignore'",
                "on_ambiguous='warn'",
            )

    def floor(self, sigma_max: float, scale: float = 0.0) -> float:
        """Return the cut-off for a matrix with largest singular value `sigma_max`."""
        return self.atol if self.atol is not None else self.rtol * max(sigma_max, scale)

    def decide(
        self,
        sigma: ArrayLike,
        scale: float = 0.0,
        *,
        size: int | None = None,
        resolution: float = EPS,
    ) -> RankDecision:
        """Decide the rank from singular values; pure, it neither warns nor raises on ambiguity.

        Parameters
        ----------
        sigma : (m,) array_like
            Singular values in any order, all of them, or the extreme ones of a matrix known to have `size`.
        scale : float
            Largest singular value met so far by the caller.
        size : int, optional
            min(n, K) where `sigma` holds the extreme values only; values not given lie between them.
        resolution : float
            Smallest ratio the computation of `sigma` resolves.

        Returns
        -------
        RankDecision

        Raises
        ------
        ProblemError
            If a singular value is negative or not finite, or there are more than `size`.
        """
        values = np.sort(np.asarray(sigma, dtype=float).ravel())[::-1]
        if values.size and not (values[-1] >= 0 and values[0] < np.inf):  # NaN is sorted to the front
            raise ProblemError(
                "the rank cannot be decided from these singular values",
                np.array2string(values, threshold=6),
                "finite numbers >= 0",
                "look for NaN or overflow in the Jacobian",
            )
        size = values.size if size is None else size
        if values.size > size:
            raise ProblemError(
                "there are more singular values than the matrix has",
                f"{values.size} values, size = {size}",
                "at most `size` values",
                "size=min(n, K)",
            )
        top = float(values[0]) if values.size else 0.0
        floor = self.floor(top, scale)
        dropped = int(np.count_nonzero(values <= floor))
        kept = values.size - dropped
        # values not given lie between the extremes: all are dropped if the largest is
        rank = size - dropped if kept else 0
        unseen = values.size < size and kept > 0 and dropped > 0
        last = float(values[kept - 1]) if kept else 0.0
        following = float(values[kept]) if dropped else 0.0
        noise = max(following, EPS * top)
        if kept:
            gap = last / noise
        else:
            gap = floor / top if top > 0 else np.inf
        near = (values * 3 >= floor) & (values <= 3 * floor) & (values > 0)
        ambiguous = bool(gap < self.min_gap or near.any() or unseen) if values.size else False
        return RankDecision(rank, size, top, last, following, floor, gap, ambiguous, resolution, values)

    def report(self, decision: RankDecision, where: str) -> None:
        """Warn or raise, as `on_ambiguous` says, if the decision is ambiguous.

        Raises
        ------
        RankError
            If the decision is ambiguous and `on_ambiguous` is "raise".
        """
        if not decision.ambiguous or self.on_ambiguous == "ignore":
            return
        got = (
            f"{decision.sigma_max:.1e} … {decision.sigma_rank:.1e} | {decision.sigma_next:.1e} "
            f"(gap {decision.gap:.1e}, floor {decision.floor:.1e})"
        )
        error = RankError(
            f"the rank of the Jacobian is ambiguous {where}",
            f"singular values {got}",
            f"a gap of at least {self.min_gap:g} and no value within a factor 3 of the floor",
            "another RankPolicy(rtol=…), rescaled outputs, or on_ambiguous='ignore'",
        )
        if self.on_ambiguous == "raise":
            raise error
        warnings.warn(str(error), RankWarning, stacklevel=3)


#: The policy taken where none is given.
DEFAULT_RANK = RankPolicy()
