"""net.plan(batch): what it says is what runs."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from variants import random_net

import laminet as ln


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("sizes", [[17, 64, 64, 6], [784, 512, 256, 10], [3, 1]], ids=str)
@pytest.mark.parametrize("batch", [1, 8, 1000])
def test_fields(sizes, batch, backend, dtype):
    net = random_net(sizes, dtype=dtype)
    for threads in (1, 2, 7):
        with ln.num_threads(threads):
            plan = net.plan(batch)
        assert (plan.batch, plan.backend) == (batch, backend)
        assert 1 <= plan.threads <= threads
        assert plan.split in ("none", "rows", "layers")
        assert (plan.split == "none") <= (plan.threads == 1)
        assert [(layer.in_features, layer.out_features) for layer in plan.layers] == list(
            itertools.pairwise(sizes)
        )
        for layer in plan.layers:
            assert 1 <= layer.threads <= threads
            assert 1 <= layer.block_rows <= batch
            assert 1 <= layer.block_columns <= layer.out_features
            assert 1 <= layer.block_depth <= layer.in_features
            if backend == "blas":
                assert layer.tile is None
                assert layer.tail_tile is None
            else:
                assert layer.tile is not None
                if layer.tail_tile is None:
                    assert (layer.tail_columns, layer.tail_depth) == (0, 0)
                    assert layer.block_columns == layer.out_features or (
                        layer.out_features % layer.tile[1] == 0
                    )
                else:
                    assert layer.tail_columns == layer.out_features % layer.tile[1]
                    assert layer.tail_columns <= layer.tail_tile[1]
                    assert layer.block_columns % layer.tile[1] == 0
                    assert 1 <= layer.tail_depth <= layer.in_features


@pytest.mark.usefixtures("isa")
def test_wide_panels_and_the_tail_have_blocks_of_their_own(dtype):
    """70 columns are no block: the engine sweeps the wide panels, then what they leave over."""
    with ln.backend("tiled"), ln.num_threads(1):
        plan = random_net([784, 70, 10], dtype=dtype).plan(512)
    first = plan.layers[0]
    width = first.tile[1]
    assert (first.block_columns, first.tail_columns) == (70 // width * width, 70 % width)
    assert f" {first.block_columns} + {first.tail_columns} " in str(plan)


def test_few_rows_of_large_weights_share_each_layer():
    net = random_net([784, 512, 256, 10])
    with ln.backend("tiled"), ln.num_threads(2):
        plan = net.plan(1)
        assert (plan.split, plan.threads) == ("layers", 2)
        assert plan.layers[0].split == "columns"
        assert net.plan(4096).split == "rows"
    with ln.backend("tiled"), ln.num_threads(1):
        assert net.plan(1).split == "none"


def test_it_is_a_table_and_a_dict():
    net = random_net([784, 512, 256, 10])
    with ln.backend("tiled"), ln.num_threads(2):
        plan = net.plan(64)
    lines = str(plan).splitlines()
    assert lines[0].startswith("64 samples: back end tiled, ")
    assert lines[1].startswith("layer  shape")
    assert lines[1].endswith("depth")
    assert len(lines) == 2 + 3
    assert json.loads(json.dumps(plan.to_dict()))["layers"][0]["out_features"] == 512
    assert "<table" in plan._repr_html_()


def test_it_takes_any_integer_and_nothing_else():
    net = random_net([3, 2])
    assert net.plan(np.int64(5)) == net.plan(5)
    assert net.plan().batch == 1
    with pytest.raises(ValueError, match="batch is 0, expected 1 or more"):
        net.plan(0)
    with pytest.raises(TypeError):
        net.plan(1.5)


def test_a_batch_that_no_memory_holds():
    net = ln.MLP.init([2, 3])
    assert net.plan(2**40).batch == 2**40
    for batch in (2**62, 2**64, 10**30):
        with pytest.raises(ValueError, match=f"batch is {batch}, more than any memory holds"):
            net.plan(batch)
