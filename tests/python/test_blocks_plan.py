"""What runs of networks of any layers, as net.plan says it."""

from __future__ import annotations

import numpy as np
import pytest
from test_blocks_models import ensemble, nerf, simba, twin_critics

import laminet as ln

F4 = np.dtype(np.float32)
MODELS = {"simba": simba, "nerf": nerf, "twins": twin_critics, "ten": ensemble("mean")}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [1, 64, 3000])
def test_a_plan_has_a_row_for_each_step(name: str, batch: int, backend: str) -> None:
    net = MODELS[name](F4)
    counts = ln.cost(net, batch)
    for threads in (1, 2, 3):
        with ln.num_threads(threads):
            plan = net.plan(batch)
        rows = [(row.kind, row.place, row.copies) for row in plan.layers]
        assert rows == [(row.kind, row.place, row.copies) for row in counts.layers]
        for row, count in zip(plan.layers, counts.layers, strict=True):
            assert 1 <= row.threads <= threads
            assert 1 <= row.block_rows <= batch
            if row.kind == "dense":
                product = row.groups * row.in_features * row.out_features
                assert count.matmul_flops == 2 * batch * product
                assert row.adds == (count.other_flops > 0)
                assert (row.tile is None) == (backend == "blas")
            else:
                assert (row.tile, row.tail_tile, row.block_depth) == (None, None, 0)
                assert row.block_columns == row.out_features
                assert (row.groups, row.column_parts, row.adds) == (1, 1, False)


def test_equal_branches_are_one_product() -> None:
    with ln.backend("tiled"), ln.num_threads(1):
        text = str(ensemble("mean")(F4).plan(64)).splitlines()
    assert text[1].split()[:3] == ["layer", "kind", "shape"]
    assert text[2].startswith("1.*.1  10 x dense  17 -> 640 ")
    assert text[3].startswith("1.*.2  10 x dense  10 x (64 -> 64) ")
    assert text[5].split()[:6] == ["1", "mean", "6", "->", "6", "-"]
    with ln.backend("blas"):
        assert " 10 x (64 -> 64)  blas " in str(ensemble("mean")(F4).plan(64))
    assert " x + (128 -> 32) " in str(simba(F4).plan(64))


def test_steps_that_threads_share_by_rows() -> None:
    """Weights beyond what a core's L2 holds: all rows go through one step after the other."""
    dense = [ln.Dense(np.zeros((1024, 1024), F4)) for _ in range(2)]
    net = ln.MLP([ln.LayerNorm(), ln.Residual(dense)])
    with ln.backend("tiled"), ln.num_threads(2):
        few, one = net.plan(5), net.plan(1)
        assert (few.split, one.split) == ("layers", "layers")
        assert (few.layers[0].block_rows, few.layers[0].row_parts) == (3, 2)
        assert (one.layers[0].block_rows, one.layers[0].row_parts) == (1, 1)
        assert net.plan(4096).split == "rows"
        assert net.plan(4096).layers[0].threads == 2
