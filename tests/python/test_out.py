"""out=: where the result goes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from variants import normal, random_net, same_bits, same_name

import laminet as ln

N, M, B = 9, 14, 25
pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def net(dtype):
    return random_net([N, 30, M], "tanh", dtype=dtype)


@pytest.fixture
def x(dtype):
    return normal((B, N), dtype)


# Each returns (owner, view of shape (B, M)); the owner shows what lies around the view.
def _rows(dtype):
    owner = np.full((2 * B, M), 7, dtype)
    return owner, owner[::2]


def _columns(dtype):
    owner = np.full((B, 3 * M), 7, dtype)
    return owner, owner[:, 1::3]


def _inside(dtype):
    owner = np.full((B + 2, M + 2), 7, dtype)
    return owner, owner[1:-1, 1:-1]


def _fortran(dtype):
    owner = np.full((M, B), 7, dtype)
    return owner, owner.T


def _reversed(dtype):
    owner = np.full((B, M), 7, dtype)
    return owner, owner[::-1, ::-1]


def _rows_reversed(dtype):
    owner = np.full((B, M + 1), 7, dtype)
    return owner, owner[::-1, :-1]


def _plain(dtype):
    owner = np.full((B, M), 7, dtype)
    return owner, owner


def _record(dtype):
    owner = np.zeros(B, np.dtype([("k", "i8"), ("y", dtype, (M,)), ("z", "i8")], align=True))
    owner["k"] = owner["z"] = 7
    return owner, owner["y"]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(
    "make",
    [_plain, _rows, _columns, _inside, _fortran, _reversed, _rows_reversed, _record],
    ids=lambda f: f.__name__.strip("_"),
)
def test_any_strides(make, net, x):
    owner, out = make(net.dtype)
    expected_owner, expected = make(net.dtype)
    expected[:] = net(x)  # NumPy writes the view; what lies between stays
    assert net(x, out=out) is out
    assert owner.tobytes() == expected_owner.tobytes()
    assert same_bits(np.ascontiguousarray(out), net(x))


def test_one_sample(net, x):
    out = np.full(2 * M, 7, net.dtype)
    view = out[::-2]
    assert net(x[3], out=view) is view
    assert same_bits(np.ascontiguousarray(view), net(x[3]))
    assert (out[::2] == 7).all()


def test_no_samples(net, x):
    out = np.empty((0, M), net.dtype)
    assert net(x[:0], out=out) is out


def test_what_was_there_does_not_matter(net, x):
    """NaN * 0 is NaN: a beta = 0 that multiplies would keep it."""
    expected = net(x)
    for value in (np.nan, np.inf, 1e30):
        out = np.full((B, M), value, net.dtype)
        assert same_bits(net(x, out=out), expected)
        single = np.full(M, value, net.dtype)
        assert same_bits(net(x[0], out=single), net(x[0]))


def test_no_reference_is_kept(net, x):
    import sys

    out = np.empty((B, M), net.dtype)
    before = sys.getrefcount(out)
    for _ in range(3):
        net(x, out=out)
    assert sys.getrefcount(out) == before


def test_converted_input_with_out(net, x):
    out = np.empty((B, M), net.dtype)
    assert net(x.tolist(), out=out) is out
    assert same_bits(out, net(x.tolist()))


# --- Overlap with the input ---------------------------------------------------------------------


@pytest.mark.usefixtures("isa")
def test_in_place(dtype):
    net = random_net([N, 20, N], "relu", dtype=dtype)
    x = normal((B, N), dtype)
    expected, single = net(x), net(x[0])
    work = x.copy()
    assert net(work, out=work) is work
    assert same_bits(work, expected)
    row = x[0].copy()
    assert net(row, out=row) is row
    assert same_bits(row, single)


@pytest.mark.parametrize("layers", [[N, N], [N, 20, N]], ids=str)
@pytest.mark.parametrize(
    "view",
    [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[::-1, ::-1]],
    ids=["rows", "columns", "both"],
)
def test_in_place_reversed(layers, view, dtype):
    net = random_net(layers, "tanh", dtype=dtype)
    x = normal((B, N), dtype)
    expected = net(x)
    work = x.copy()
    net(work, out=view(work))
    assert same_bits(np.ascontiguousarray(view(work)), expected)


@pytest.mark.parametrize("shift", [-5, -3, -1, 1, 2, 5, 40])
def test_shifted_overlap(shift, dtype):
    """Result rows written before later input rows are read."""
    net = random_net([N, N], "tanh", dtype=dtype)
    x = normal((B, N), dtype)
    expected = net(x)
    buffer = np.zeros(B * N + 100, dtype)
    source = buffer[50 : 50 + B * N].reshape(B, N)
    target = buffer[50 + shift : 50 + shift + B * N].reshape(B, N)
    source[:] = x
    net(source, out=target)
    assert same_bits(target.copy(), expected)


def test_transposed_overlap(dtype):
    net = random_net([N, N], "tanh", dtype=dtype)
    x = normal((N, N), dtype)
    expected = net(x)
    work = x.copy()
    net(work, out=work.T)
    assert same_bits(np.ascontiguousarray(work.T), expected)


def test_interleaved_with_the_input(dtype):
    """Columns of one table: memory of the two is mixed, but no element is shared."""
    net = random_net([N, M], "tanh", dtype=dtype)
    table = np.zeros((B, N + M), dtype)
    table[:, :N] = normal((B, N), dtype)
    x = table[:, :N].copy()
    net(table[:, :N], out=table[:, N:])
    assert same_bits(table[:, N:].copy(), net(x))
    assert same_bits(table[:, :N].copy(), x)


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(B, M + 1), (B + 1, M), (M, B), (B * M,), (M,), (1, B, M), (B, 1), (0, M), ()]
)
def test_wrong_shape(shape, net, x):
    out = np.zeros(shape, net.dtype)
    text = str(tuple(shape)).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"out must have shape \({B}, {M}\), got shape {text}"):
        net(x, out=out)
    assert not out.any()


def test_wrong_shape_for_one_sample(net, x):
    with pytest.raises(ValueError, match=rf"out must have shape \({M},\), got shape \(1, {M}\)"):
        net(x[0], out=np.zeros((1, M), net.dtype))


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "int32", "complex64", "object"])
def test_wrong_dtype(name, net, x):
    if name == net.dtype:
        name = "longdouble"
    out = np.zeros((B, M), name)
    with pytest.raises(ValueError, match=rf"out must have dtype {net.dtype}, got {out.dtype}"):
        net(x, out=out)
    assert not out.any()


def test_wrong_byte_order(net, x):
    out = np.zeros((B, M), net.dtype.newbyteorder())
    with pytest.raises(ValueError, match=rf"out must have dtype {net.dtype}, got [<>]f"):
        net(x, out=out)
    assert not out.any()


def test_misaligned(net, x):
    raw = np.zeros(B * M * net.dtype.itemsize + 8, np.uint8)
    out = raw[1 : 1 + B * M * net.dtype.itemsize].view(net.dtype).reshape(B, M)
    with pytest.raises(ValueError, match="out must be aligned"):
        net(x, out=out)
    assert not raw.any()


def test_read_only(net, x):
    out = np.zeros((B, M), net.dtype)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writeable"):
        net(x, out=out)
    assert not out.any()


@pytest.mark.parametrize("out", [[[0.0] * M] * B, 1.0, "out", b"out", object()], ids=same_name)
def test_not_an_array(out, net, x):
    with pytest.raises(TypeError, match=f"out must be a NumPy array, got {type(out).__name__}"):
        net(x, out=out)


def test_subclasses(net, x):
    """A masked array's mask would not follow; a matrix is no array of samples."""
    with pytest.raises(TypeError, match=r"out must be a plain numpy.ndarray, got MaskedArray"):
        net(x, out=np.ma.zeros((B, M), net.dtype))


def test_overlapping_itself(net, x):
    base = np.zeros(B * M, net.dtype)
    strided = np.lib.stride_tricks.as_strided
    size = net.dtype.itemsize
    for strides in ((size, size), (0, size), (size * M, 0), ((M - 1) * size, size), (0, 0)):
        out = strided(base, (B, M), strides)
        with pytest.raises(ValueError, match="out must not overlap itself"):
            net(x, out=out)
    assert not base.any()


def test_interleaved_rows_that_share_nothing(net, x):
    """Rows within each other's span, every element its own: two rows, every second element."""
    flat = np.zeros(2 * M, net.dtype)
    size = net.dtype.itemsize
    out = np.lib.stride_tricks.as_strided(flat, (2, M), (size, 2 * size))
    assert net(x[:2], out=out) is out
    assert np.array_equal(out, net(x[:2]))


def test_positional_out_is_refused(net, x):
    with pytest.raises(TypeError, match="positional argument"):
        net(x, np.empty((B, M), net.dtype))


def test_arguments_are_checked_before_anything_is_written(net, x):
    out = np.zeros((B, M), net.dtype)
    with pytest.raises(ValueError, match="x has"):
        net(x[:, 1:], out=out)
    with pytest.raises(TypeError, match="x must hold"):
        net(x.astype(complex), out=out)
    assert not out.any()


def test_linear_takes_out_by_the_same_rules(x, dtype):
    weight = normal((M, N), dtype)
    owner, out = _columns(dtype)
    assert ln.linear(x, weight, out=out) is out
    assert same_bits(np.ascontiguousarray(out), ln.linear(x, weight))
    with pytest.raises(ValueError, match="out must have shape"):
        ln.linear(x, weight, out=owner)
