"""Random chains in ONNX, float64, against ONNX Runtime: what is accepted is right.

Squares hide transposes, a batch as large as the features hides a mixed-up axis, and beta, alpha,
negative axes and samples in columns all come in every combination.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from frameworks import assert_agrees
from onnx_graphs import answer, model, node

import laminet as ln


class Builder:
    """A graph that grows by random steps, with the samples in rows or in columns."""

    def __init__(self, rng):
        self.rng = rng
        self.nodes, self.constants = [], {}
        self.width = int(rng.integers(1, 5))
        self.name, self.columns, self.count = "x", False, 0

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def node(self, operator, inputs, **attributes):
        self.count += 1
        name = f"v{self.count}"
        self.nodes.append(node(operator, inputs, name, **attributes))
        self.name = name

    def normal(self, *shape):
        return self.rng.standard_normal(shape) * 0.7

    def vector(self):
        """A constant of one of the shapes that meet the features."""
        n = 1 if self.rng.integers(4) == 0 else self.width
        array = self.normal(n)
        if self.columns:
            return array[:, None]
        return array if self.rng.integers(2) else array[None]

    def step(self):
        kind = self.rng.choice(
            ["gemm", "matmul", "add", "mul", "sub", "div", "transpose", "turn", "activation",
             "norm", "reshape", "spelled", "softsign", "slice", "gather", "halves", "clip", "heads",
             "filled", "squeeze"]
        )  # fmt: skip
        getattr(self, kind)()

    def gemm(self):
        out = int(self.rng.choice([self.width, self.rng.integers(1, 5)]))
        alpha, beta = (float(self.rng.choice([1.0, 0.5, -1.3])) for _ in range(2))
        weight = self.normal(self.width, out)
        if self.columns and self.rng.integers(2):  # W' x, the samples stay in the columns
            turned = int(self.rng.integers(2))
            w = self.constant(weight if turned else weight.T.copy())
            inputs = f"{w},{self.name}"
            if self.rng.integers(2):
                inputs += "," + self.constant(self.normal(out, 1))
            self.node("Gemm", inputs, transA=turned, alpha=alpha, beta=beta)
        else:
            trans_b = int(self.rng.integers(2))
            w = self.constant(weight.T.copy() if trans_b else weight)
            inputs = f"{self.name},{w}"
            if self.rng.integers(2):
                shape = [(), (1,), (out,), (1, out)][int(self.rng.integers(4))]
                inputs += "," + self.constant(self.normal(*shape))
            trans_a = int(self.columns)
            self.node("Gemm", inputs, transA=trans_a, transB=trans_b, alpha=alpha, beta=beta)
            self.columns = False
        self.width = out

    def matmul(self):
        out = int(self.rng.integers(1, 5))
        weight = self.normal(self.width, out)
        if self.columns:
            self.node("MatMul", f"{self.constant(weight.T.copy())},{self.name}")
        else:
            self.node("MatMul", f"{self.name},{self.constant(weight)}")
        self.width = out

    def both_ways(self, operator, array):
        names = [self.name, self.constant(array)]
        if self.rng.integers(2):
            names.reverse()
        self.node(operator, ",".join(names))

    def add(self):
        self.both_ways("Add", self.vector())

    def mul(self):
        self.both_ways("Mul", self.vector())

    def sub(self):
        self.both_ways("Sub", self.vector())

    def div(self):
        array = self.vector()
        self.node("Div", f"{self.name},{self.constant(np.sign(array) * (np.abs(array) + 0.5))}")

    def transpose(self):
        self.node("Transpose", self.name, perm=[0, 1])

    def turn(self):
        perm = {} if self.rng.integers(2) else {"perm": [1, 0]}
        self.node("Transpose", self.name, **perm)
        self.columns = not self.columns

    def activation(self):
        self.node(str(self.rng.choice(["Relu", "Tanh", "Sigmoid", "LeakyRelu"])), self.name)

    def norm(self):
        if not self.columns:
            arrays = [self.normal(self.width) for _ in range(3)]
            arrays.append(self.rng.random(self.width) + 0.3)
            names = ",".join(map(self.constant, arrays))
            self.node("BatchNormalization", f"{self.name},{names}", epsilon=0.01)

    def reshape(self):
        if not self.columns:
            shape = [[-1, self.width], [0, -1], [0, self.width]][int(self.rng.integers(3))]
            self.node("Reshape", f"{self.name},{self.constant(np.array(shape))}")

    def spelled(self):
        self.matmul()
        x = self.name
        self.node("Mul", f"{x},{self.constant(float(self.rng.choice([1.0, 1.7])))}")
        self.node("Sigmoid", self.name)
        self.node("Mul", f"{x},{self.name}")

    def softsign(self):
        self.matmul()
        x = self.name
        self.node("Abs", x)
        self.node("Add", f"{self.name},{self.constant(1.0)}")
        self.node("Div", f"{x},{self.name}")

    def axis(self):
        if self.columns:
            return int(self.rng.choice([0, -2]))
        return int(self.rng.choice([1, -1]))

    def slice(self):
        begin = int(self.rng.integers(self.width))
        end = int(self.rng.integers(begin + 1, self.width + 1))
        step = int(self.rng.choice([1, 2]))
        width = len(range(begin, end, step))
        if self.rng.integers(3) == 0:  # backwards
            begin, end, step = end - 1, begin - self.width - 1, -1
            width = begin - (end + self.width)
        names = [self.constant(np.array([v])) for v in (begin, end, self.axis(), step)]
        self.node("Slice", ",".join([self.name, *names]))
        self.width = width

    def gather(self):
        indices = self.rng.integers(-self.width, self.width, int(self.rng.integers(1, 5)))
        self.node("Gather", f"{self.name},{self.constant(indices)}", axis=self.axis())
        self.width = len(indices)

    def halves(self):
        """Parts in another order, one of them scaled."""
        if self.width < 2:
            return
        at = int(self.rng.integers(1, self.width))
        self.count += 1
        names = [f"v{self.count}", f"v{self.count}b"]
        sizes = self.constant(np.array([at, self.width - at]))
        axis = self.axis()
        self.nodes.append(node("Split", f"{self.name},{sizes}", ",".join(names), axis=axis))
        self.node("Concat", ",".join(names[:: int(self.rng.choice([1, -1]))]), axis=axis)

    def clip(self):
        low, high = np.sort(self.normal(2)) + np.array([-0.1, 0.1])
        if self.rng.integers(2):
            self.node("Clip", f"{self.name},{self.constant(low)},{self.constant(high)}")
        else:
            self.node("Min", f"{self.name},{self.constant(np.abs(self.normal(1)))}")
            self.node("Max", f"{self.constant(np.array([low]))},{self.name}")

    def heads(self):
        """Two layers over the same values, side by side."""
        if self.columns:
            return
        self.activation()
        x, names = self.name, []
        for _ in range(2):
            self.node("MatMul", f"{x},{self.constant(self.normal(self.width, 2))}")
            names.append(self.name)
        self.node("Concat", ",".join(names), axis=self.axis())
        self.width = 4

    def filled(self):
        x = self.name
        self.node("Shape", x)
        self.node("Expand", f"{self.constant(self.normal())},{self.name}")
        self.node("Add", f"{self.name},{x}")

    def squeeze(self):
        axes = self.constant(np.array([int(self.rng.choice([0, 1, 2, -1]))]))
        self.node("Unsqueeze", f"{self.name},{axes}")
        self.node("Squeeze", f"{self.name},{axes}")

    def finish(self):
        if self.columns:
            self.turn()
        self.node("MatMul", f"{self.name},{self.constant(self.normal(self.width, 2))}")
        if self.rng.integers(2):
            self.node("Softmax", self.name, axis=int(self.rng.choice([1, -1])))
        self.nodes[-1].output[0] = "y"


@pytest.mark.parametrize("seed", range(800))
def test_random_chains(seed):
    rng = np.random.default_rng(seed)
    builder = Builder(rng)
    width = builder.width
    for _ in range(int(rng.integers(1, 9))):
        builder.step()
    builder.finish()
    batch = ["batch", width][int(rng.integers(2))]
    proto = model(builder.nodes, builder.constants, [batch, width], dtype="float64")
    x = rng.standard_normal((width, width))
    expected = answer(proto, x)
    net = ln.from_onnx(proto)
    assert net.dtype == np.float64
    assert_agrees(net, x, expected, folded=True)


def wild(rng):
    """Random moves of a tensor of any shape, most of them no network, around one or two layers.

    The batch is as long as an axis of features may be, so that mixing them up fits every shape.
    """
    shape = [3, *rng.choice([1, 2, 3, 4], size=int(rng.integers(1, 3))).tolist()]
    declared = ["batch" if rng.integers(2) else 3, *shape[1:]]
    nodes, constants = [], {}
    name, dims = "x", list(shape)

    def constant(array):
        constants[f"c{len(constants)}"] = np.asarray(array)
        return f"c{len(constants) - 1}"

    for step in range(int(rng.integers(2, 7))):
        out, rank = f"v{step}", len(dims)
        axis = int(rng.integers(rank)) if rank else 0
        kind = int(rng.integers(9))
        if kind == 0 and rank:
            perm = rng.permutation(rank).tolist()
            nodes.append(node("Transpose", name, out, perm=perm))
            dims = [dims[i] for i in perm]
        elif kind in (1, 2) and rank:
            total = int(np.prod(dims))
            choices = [[total], [-1, dims[-1]], [3, -1], [1, -1], [-1, 3], [0, -1]]
            choices += [[d for d in dims if d != 1], [*dims, 1], [1, *dims], dims[::-1]]
            wanted = choices[int(rng.integers(len(choices)))]
            rest = int(np.prod([dims[i] if d == 0 else d for i, d in enumerate(wanted) if d != -1]))
            if rest == 0 or total % rest or (-1 not in wanted and rest != total):
                continue
            nodes.append(node("Reshape", f"{name},{constant(np.array(wanted, int))}", out))
            dims = [dims[i] if d == 0 else total // rest if d == -1 else d
                    for i, d in enumerate(wanted)]  # fmt: skip
        elif kind == 3 and rank and dims[axis] > 1:
            begin = int(rng.integers(dims[axis] - 1))
            bounds = ",".join(constant(np.array([v])) for v in (begin, begin + 2, axis))
            nodes.append(node("Slice", f"{name},{bounds}", out))
            dims[axis] = min(2, dims[axis] - begin)
        elif kind == 4 and rank:
            nodes.append(node("Gather", f"{name},{constant(int(rng.integers(dims[axis])))}", out,
                              axis=axis))  # fmt: skip
            dims = dims[:axis] + dims[axis + 1 :]
        elif kind == 5 and rank:
            nodes.append(node("Concat", f"{name},{name}", out, axis=axis))
            dims[axis] *= 2
        elif kind == 6 and rank:
            width = int(rng.integers(1, 4))
            w = constant(rng.standard_normal((dims[-1], width)))
            nodes.append(node("MatMul", f"{name},{w}", out))
            dims[-1] = width
        elif kind == 7 and rank:
            c = constant(rng.standard_normal([d if rng.integers(2) else 1 for d in dims]))
            nodes.append(node("Add", f"{name},{c}", out))
        elif kind == 8:
            nodes.append(node("Tanh", name, out))
        else:
            continue
        name = out
    if not nodes:
        nodes.append(node("Tanh", "x", name := "v0"))
    nodes[-1].output[0] = "y"
    return model(nodes, constants, declared, dtype="float64"), shape


def samples_first(proto, x, expected, count):
    """The answer with its axis of samples in front: that along which only the first one changes."""
    other = x.copy()
    other.reshape(count, -1)[0] += 1
    changed = answer(proto, other) != expected
    for axis in range(expected.ndim if expected.ndim > 2 else 0):
        if expected.shape[axis] == count and not np.delete(changed, 0, axis).any():
            return np.moveaxis(expected, axis, 0)
    return expected


@pytest.mark.parametrize("first", range(0, 3000, 250))
def test_wild_graphs(first):
    """What is accepted is right; the rest is refused in words."""
    accepted = 0
    for seed in range(first, first + 250):
        rng = np.random.default_rng(seed)
        proto, shape = wild(rng)
        try:
            net = ln.from_onnx(proto)
        except ln.FormatError:
            continue
        accepted += 1
        x = rng.standard_normal(shape)
        try:
            expected = answer(proto, x)
        except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
            continue  # a graph that ONNX Runtime cannot run, as with two shapes that do not fit
        samples = x.reshape(-1, net.in_features)
        got = net(samples)
        assert got.size == expected.size, seed
        expected = samples_first(proto, x, expected, len(samples))
        assert_agrees(net, samples, expected.reshape(got.shape), folded=True)
    assert accepted > 20
