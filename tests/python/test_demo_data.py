"""The embedded network and its held-out digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import laminet as ln
from laminet.analysis import error_bound
from laminet.data import digits_network, digits_test_set, digits_training_set
from laminet.data.digits import train_digits
from laminet.files.safetensors_files import write_layers


def test_test_set_is_450_images_of_ten_digits() -> None:
    x, y = digits_test_set()
    assert x.shape == (450, 64)
    assert y.shape == (450,)
    assert x.dtype == y.dtype == np.uint8
    assert x.max() == 16
    assert np.bincount(y, minlength=10).min() >= 40
    assert len(np.unique(x, axis=0)) == 450


def test_network_reads_99_percent_of_the_digits() -> None:
    net = digits_network()
    x, y = digits_test_set()
    assert net.sizes == (64, 64, 32, 10)
    assert net.dtype == np.float32
    assert [layer.activation.name for layer in net.layers] == ["relu", "relu", "identity"]
    # The figure of data/README.md; none of the 450 is so close that rounding decides it.
    assert int((net.predict(x) == y).sum()) == 446


def test_network_agrees_with_the_reference_within_the_derived_bound() -> None:
    net = digits_network()
    x, _ = digits_test_set()
    difference = np.abs(net(x) - ln.reference.forward(net, x))
    assert (difference <= error_bound(net, x)).all()
    assert difference.max() > 0


def test_training_set_is_1347_other_images() -> None:
    x, y = digits_training_set()
    assert x.shape == (1347, 64)
    assert y.shape == (1347,)
    assert x.dtype == y.dtype == np.uint8
    assert x.max() == 16
    assert np.bincount(y, minlength=10).min() >= 120
    both = np.concatenate([x, digits_test_set()[0]])
    assert len(np.unique(both, axis=0)) == 1797


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("threads", [1, 2])
def test_training_gives_the_file_that_ships(threads: int, tmp_path: Path) -> None:
    told = []
    with ln.num_threads(threads):
        net = train_digits(*digits_training_set(), lambda *epoch: told.append(epoch))
    write_layers(net.layers, tmp_path / "made")
    shipped = Path(ln.__file__).parent / "data" / "digits.safetensors"
    assert (tmp_path / "made").read_bytes() == shipped.read_bytes()
    assert [number for number, _, _ in told] == list(range(1, 61))
    assert told[-1][2] == net
    assert told[-1][1] < 0.6 < 1.0 < told[0][1]  # label smoothing of 0.1 leaves 0.5


def test_an_interrupt_ends_it() -> None:
    x, y = digits_training_set()

    def interrupt(number: int, *_: object) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_digits(x[:64], y[:64], interrupt, epochs=5)
