"""The comparator of the suite; test_compare.py shows what it rejects."""

from __future__ import annotations

import numpy as np


def assert_close(got: np.ndarray, exact: np.ndarray, bound: np.ndarray | float) -> None:
    """Fail unless |got - exact| <= bound in every element.

    NaN must stand where `exact` has NaN and nowhere else, infinities likewise and with their sign.
    `bound` must be finite and not negative wherever `exact` is finite: an infinite bound accepts
    everything. It may be NaN or infinite where `exact` is not finite.
    """
    if not isinstance(got, np.ndarray):
        raise AssertionError(f"got a {type(got).__name__}, expected an ndarray")
    if got.dtype not in (np.float32, np.float64):
        raise AssertionError(f"got dtype {got.dtype}, expected float32 or float64")
    exact = np.asarray(exact)
    if got.shape != exact.shape:
        raise AssertionError(f"got shape {got.shape}, expected {exact.shape}")
    bound = np.broadcast_to(np.asarray(bound, dtype=np.float64), exact.shape)
    finite = np.isfinite(exact)
    usable = np.isfinite(bound) & (bound >= 0)
    if not usable[finite].all():
        raise AssertionError("the bound is not a finite number of at least 0 everywhere")

    # `not (error <= bound)` and never `error > bound`: NaN fails both comparisons.
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.float64) - exact)
        within = error <= bound
    right = np.where(finite, within, (got == exact) | (np.isnan(got) & np.isnan(exact)))
    if right.all():
        return
    wrong = np.argwhere(~right)
    first = tuple(int(i) for i in wrong[0])
    raise AssertionError(
        f"{len(wrong)} of {right.size} elements are wrong, first at {first}: got {got[first]!r}, "
        f"expected {exact[first]!r} within {bound[first]:.3g}, "
        f"off by {error[first] / bound[first] if bound[first] else np.inf:.3g} bounds"
    )
