"""What comes in: strides, byte orders, dtypes, containers. Never modified, never kept."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from bounds import forward_bound
from compare import assert_close
from variants import normal, random_net, same_bits

import laminet as ln
from laminet import reference

N = 12  # features
B = 30  # samples


def record_field(base):
    """A field of packed records: rows are 1 byte further apart than floats are aligned."""
    record = np.dtype([("tag", "u1"), ("x", base.dtype, (N,))])
    records = np.zeros(B, record)
    records["x"] = base
    return records["x"]


def aligned_field(base):
    """A field of aligned records: read in place, with the stride of the record."""
    record = np.dtype([("tag", "u4"), ("x", base.dtype, (N,)), ("y", "f8")], align=True)
    records = np.zeros(B, record)
    records["x"] = base
    return records["x"]


def inside(base):
    larger = np.full((B + 5, N + 9), np.nan, base.dtype)
    larger[2 : B + 2, 4 : N + 4] = base
    return larger[2 : B + 2, 4 : N + 4]


def every(base, rows, columns):
    larger = np.full((B * rows, N * columns), np.nan, base.dtype)
    larger[::rows, ::columns] = base
    return larger[::rows, ::columns]


VIEWS = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every second row": lambda a: every(a, 2, 1),
    "every third column": lambda a: every(a, 1, 3),
    "every second of both": lambda a: every(a, 2, 2),
    "rows reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "columns reversed": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "both reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "Fortran reversed": lambda a: np.asfortranarray(a[::-1, ::-1])[::-1, ::-1],
    "inside a larger array": inside,
    "field of packed records": record_field,
    "field of aligned records": aligned_field,
    "two axes of three": lambda a: np.stack([a + 1, a, a - 1], axis=1)[:, 1, :],
}


@pytest.fixture
def net(dtype):
    return random_net([N, 40, 7], ["silu", "identity"], dtype=dtype)


@pytest.fixture
def base(dtype):
    return normal((B, N), dtype)


@pytest.mark.usefixtures("isa", "backend")
@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS.keys())
def test_views(make, net, base):
    x = make(base)
    assert np.array_equal(x, base)
    assert same_bits(net(x), net(base))
    for i in (0, 1, B - 1):
        assert_close(
            net(x[i]), reference.forward(net, base[i]), forward_bound(net, base[i], net.dtype)
        )


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS.keys())
def test_a_view_is_neither_modified_nor_kept(make, net, base):
    x = make(base)
    owner = x if x.base is None else x.base
    before, references = owner.tobytes(), sys.getrefcount(x)
    y = net(x)
    trace = net.trace(x)
    predicted = net.predict(x), net.predict_proba(x)
    assert owner.tobytes() == before
    assert sys.getrefcount(x) == references
    assert all(not np.shares_memory(x, a) for a in (y, *trace.activations, *predicted))


def test_the_input_can_be_freed(net, dtype):
    class Owner(np.ndarray):  # plain arrays take weak references too, but not from every NumPy
        pass

    x = normal((B, N), dtype).view(Owner)
    alive = weakref.ref(x)
    y = net(x), net.trace(x), net(x[::2]), net.predict(x)
    del x
    gc.collect()
    assert alive() is None
    assert len(y) == 4


@pytest.mark.usefixtures("backend")
def test_one_row_broadcast_to_all(net, base):
    """Stride 0: B times the same sample without B copies of it."""
    x = np.broadcast_to(base[3], (B, N))
    assert x.strides[0] == 0
    assert same_bits(net(x), net(np.ascontiguousarray(x)))


@pytest.mark.usefixtures("backend")
def test_one_feature_broadcast_to_all(net, base):
    column = np.broadcast_to(base[:, :1], (B, N))
    scalar = np.broadcast_to(base[0, 0], (B, N))
    single = np.broadcast_to(base[0, 0], (N,))
    for x in (column, scalar, single):
        assert same_bits(net(x), net(np.ascontiguousarray(x)))


@pytest.mark.usefixtures("backend")
def test_columns_of_one_feature(dtype):
    """in_features = 1: the column stride is never walked and may be anything."""
    net = random_net([1, 9, 2], dtype=dtype)
    table = normal((B, 5), dtype)
    for x in (table[:, 2:3], table[:, ::-1][:, :1], table.T[1:2].T):
        assert same_bits(net(x), net(np.ascontiguousarray(x)))


@pytest.mark.usefixtures("backend")
def test_misaligned_buffer(net, base):
    raw = bytearray(base.nbytes + 8)
    x = np.frombuffer(raw, np.uint8)[3 : 3 + base.nbytes].view(base.dtype).reshape(B, N)
    x[:] = base
    assert not x.flags.aligned
    assert same_bits(net(x), net(base))
    assert same_bits(net(x[4]), net(base[4]))
    assert np.array_equal(x, base)


@pytest.mark.usefixtures("backend")
def test_read_only(net, base):
    expected = net(base.copy())
    base.flags.writeable = False
    from_bytes = np.frombuffer(base.tobytes(), base.dtype).reshape(B, N)
    assert not from_bytes.flags.writeable
    assert same_bits(net(base), expected)
    assert same_bits(net(from_bytes), expected)


@pytest.mark.usefixtures("backend")
def test_other_byte_order(net, base):
    swapped = base.astype(base.dtype.newbyteorder())
    assert swapped.tobytes() != base.tobytes()
    before = swapped.tobytes()
    assert same_bits(net(swapped), net(base))
    assert same_bits(net(swapped[::2, ::-1]), net(np.ascontiguousarray(base[::2, ::-1])))
    assert swapped.tobytes() == before


@pytest.mark.parametrize(
    "name",
    ["float16", "float32", "float64", "longdouble", "int8", "uint8", "int32", "int64", "bool"],
)
def test_other_numeric_dtypes_are_converted(name, net, base):
    """Also with strides: what is converted is the view, not what lies under it."""
    for x in (base * 3, (base * 3)[::2, ::-1], np.asfortranarray(base * 3), base[2] * 3):
        other = x.astype(np.int8).astype(name) if name.startswith("u") else x.astype(name)
        assert same_bits(net(other), net(np.ascontiguousarray(other.astype(net.dtype))))


def test_unsigned_values_survive(dtype):
    net = ln.MLP([ln.Dense(np.eye(3, dtype=dtype))])
    assert net(np.array([255, 128, 0], np.uint8)).tolist() == [255, 128, 0]
    assert net(np.array([2**40, 0, 1], np.uint64)).tolist() == [2**40, 0, 1]


def test_nested_lists_and_scalars(dtype):
    net = ln.MLP([ln.Dense(np.array([[1, 2], [3, 4], [5, 6]], dtype))])
    for x in ([1, 1], (1.0, 1.0), [np.float32(1), True], np.array([1, 1])):
        assert same_bits(net(x), np.array([3, 7, 11], dtype))
    for x in ([[1, 1], [0, 1]], [(1, 1), (0, 1)], [np.array([1.0, 1.0]), [0, 1]]):
        assert same_bits(net(x), np.array([[3, 7, 11], [2, 4, 6]], dtype))


def test_objects_with_an_array_interface(net, base):
    class Column:
        def __array__(self, dtype=None, copy=None):
            return base if dtype is None else base.astype(dtype)

    assert same_bits(net(Column()), net(base))
    assert same_bits(net(memoryview(base)), net(base))


def test_objects_with_dlpack_alone(net, base):
    class Tensor:
        def __dlpack__(self, **options):
            return base.__dlpack__(**options)

        def __dlpack_device__(self):
            return base.__dlpack_device__()

    assert same_bits(net(Tensor()), net(base))


def test_subclasses_of_ndarray(net, base):
    class Mine(np.ndarray):
        pass

    y = net(base.view(Mine))
    assert type(y) is np.ndarray
    assert same_bits(y, net(base))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_matrix(net, base):
    assert same_bits(net(np.matrix(base)), net(base))
    one = np.matrix(base[0])
    assert net(one).shape == (1, 7)


def test_memmap(net, base, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, base)
    x = np.load(path, mmap_mode="r")
    assert isinstance(x, np.memmap)
    assert same_bits(net(x[5:20]), net(base[5:20]))


@pytest.mark.usefixtures("isa", "backend")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "gelu", "hard_sigmoid"])
def test_nan_and_infinity_stay_in_their_row(value, activation, dtype):
    net = random_net([N, 33, 20], activation, dtype=dtype)
    x = normal((B, N), dtype)
    clean = net(x)
    hit = [0, 7, B - 1]
    x[hit, [0, 5, N - 1]] = value
    y = net(x)
    others = np.setdiff1d(np.arange(B), hit)
    assert same_bits(y[others], clean[others])
    exact = reference.forward(net, x)
    assert_close(y, exact, forward_bound(net, x, dtype))
    # And it must have got through: nothing swallows a NaN, as max(NaN, 0) = 0 would.
    if np.isnan(value):
        assert np.isnan(y[hit]).all()


@pytest.mark.usefixtures("backend")
def test_no_samples(net, dtype):
    for x in (
        np.empty((0, N), dtype),
        np.empty((0, N), dtype).T.copy().T,
        np.empty((5, N), dtype)[5:],
        np.empty((0, N), np.int32),
    ):
        y = net(x)
        assert y.shape == (0, 7)
        assert y.dtype == dtype
    assert net.predict(np.empty((0, N), dtype)).shape == (0,)
    assert net.predict_proba(np.empty((0, N), dtype)).shape == (0, 7)
    assert net.trace(np.empty((0, N), dtype)).output.shape == (0, 7)


def test_views_of_a_large_array_are_not_copied(backend):
    """What NumPy allocates on the way, by tracemalloc; C++ scratch is seen by the next test."""
    net = random_net([100, 8, 1])
    large = np.ones((100, 100_000), np.float32)  # 40 MB; samples are its columns
    views = {
        "transposed": large.T,
        "every second": large.T[::2],
        "reversed": large.T[::-1, ::-1],
        "a block": large[:, :400].T,
        "broadcast": np.broadcast_to(large[0, :100], (100_000, 100)),
    }
    net(large[:, :3000].T)
    for name, x in views.items():
        tracemalloc.start()
        y = net(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert y.nbytes <= peak, "tracemalloc does not see NumPy's arrays: the test shows nothing"
        assert peak < y.nbytes + 100_000, f"{name}: {peak} bytes for {y.nbytes} of output"


def test_the_process_does_not_grow_by_a_copy(script, backend):
    """The peak of resident memory, which C++ scratch is part of."""
    result = script(
        """
import resource
import numpy as np, laminet as ln
net = ln.MLP.init([100, 8, 1], seed=0)
large = np.ones((100, 400_000), np.float32)  # 160 MB
net(large[:, :5000].T)
net(large[:, :5000].T.copy())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for x in (large.T, large.T[::-1, ::-1], large.T[::2]):
    net(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
""",
        LAMINET_BACKEND=backend,
    )
    assert result.returncode == 0, result.stderr
    # 1.6 MB of output; the rest is scratch for a block of rows and what the allocator keeps.
    assert int(result.stdout) < 20_000, f"grew by {result.stdout} kB"


def test_what_is_too_large_becomes_infinity_without_a_warning():
    """As in NumPy; pytest turns warnings into errors."""
    net = ln.MLP([ln.Dense(np.float32([[1]]))])
    assert net(np.array([1e300])).tolist() == [np.inf]
    assert net([-1e300]).tolist() == [-np.inf]
    huge = np.array([["1e4000"]]).astype(np.longdouble)
    assert net(huge).tolist() == [[np.inf]]
    assert ln.Dense(huge, huge[0]).weight.tolist() == [[np.inf]]
    assert ln.linear([1.0], huge).tolist() == [np.inf]
