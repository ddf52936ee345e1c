"""Every reader of laminet, with sound files that are changed, and what it may answer.

A file is either read, to a network that runs or to outputs, or refused by a `FormatError` (on the
command line: by status 2 and one line), in words that are safe to print.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import struct
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mutation import changed_bytes, changed_json, changed_zip, members_of, zipped

import laminet as ln
from laminet.cli import main

warnings.simplefilter("ignore")
os.environ.setdefault("KERAS_BACKEND", "torch")

Change = Callable[[bytes, random.Random], bytes]


def written(suffix: str, write: Callable[[str], object]) -> bytes:
    """Return what `write` writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{suffix}")
        write(str(path))
        return path.read_bytes()


def check_words(text: str, path: Path) -> None:
    """Fail unless the message is short and safe to print, and no other program's."""
    text = text.replace(str(path), "FILE")
    assert 0 < len(text) < 5000, f"{len(text)} letters: {text[:200]!r}"
    assert all(c.isprintable() or c == "\n" for c in text), repr(text)
    assert "Traceback" not in text, text


def check_network(net: ln.MLP) -> None:
    """Fail unless it answers, in its own shape."""
    if net.num_parameters < 10**6:
        assert net(np.ones((2, net.in_features))).shape == (2, net.out_features)
    assert repr(net).isprintable()


class Reader:
    """Sound files, how to change one, and how it is read."""

    #: What may refuse: `load` says by a plain ValueError which argument is missing.
    refusals: tuple[type[Exception], ...] = (ln.FormatError,)

    def __init__(self) -> None:
        self.samples = self.make()
        for suffix, data in self.samples:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, f"sound{suffix}")
                path.write_bytes(data)
                assert self.read(path), f"a sound {suffix} file is refused"

    def make(self) -> list[tuple[str, bytes]]:
        """Return sound files, each with its suffix."""
        raise NotImplementedError

    def change(self, data: bytes, rng: random.Random) -> bytes:
        """Return the file, changed."""
        return changed_bytes(data, rng, rng.choice(self.samples)[1])

    def case(self, rng: random.Random) -> tuple[str, bytes]:
        """Return a changed file and its suffix."""
        suffix, data = rng.choice(self.samples)
        return suffix, self.change(data, rng)

    def load(self, path: Path) -> ln.MLP:
        """Read the network."""
        return ln.load(path)

    def read(self, path: Path) -> bool:
        """Return whether it was read; fail if it was neither read nor refused."""
        try:
            net = self.load(path)
        except self.refusals as error:
            check_words(str(error), path)
            return False
        check_network(net)
        return True


def changed_safetensors(data: bytes, rng: random.Random) -> bytes:
    """Change the header as JSON, or the description within it, or the bytes."""
    if rng.random() < 0.4:
        return changed_bytes(data, rng)
    (length,) = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + length].decode()
    parsed = json.loads(header)
    own = parsed.get("__metadata__", {}).get("laminet")
    if own is not None and rng.random() < 0.5:
        parsed["__metadata__"]["laminet"] = changed_json(own, rng)
        header = json.dumps(parsed)
    else:
        header = changed_json(header, rng)
    return struct.pack("<Q", len(header.encode())) + header.encode() + data[8 + length :]


def nets() -> list[ln.MLP]:
    """Return small networks that differ in what a file says of them."""
    classes = ln.Classes(["no", "yes", "perhaps"])
    leaky = ln.Activation("leaky_relu", alpha=0.2)
    weight = np.linspace(-1, 1, 12).reshape(3, 4)
    return [
        ln.MLP.init([4, 3, 3], "relu", seed=0),
        ln.MLP.init([4, 3, 3], "elu", seed=1, dtype="float64", outputs=classes),
        ln.MLP([ln.Dense(weight, None, leaky)], head="softmax"),
        ln.MLP.init([4, 2], seed=2, outputs=ln.Quantities(["price", "weight"])),
        ln.MLP(
            [
                ln.Rescale(np.ones(4), 0.5, low=-3.0),
                ln.Residual([ln.LayerNorm(np.ones(4)), ln.Dense(weight), ln.Dense(weight.T)]),
                ln.Activation("leaky_relu", alpha=[0.1, 0.2, 0.3, 0.4]),
                ln.Parallel([[], [ln.Select([0, 2]), ln.RMSNorm()], [ln.Select(slice(1, 3))]]),
                ln.Dropout(0.5),
            ]
        ),
    ]


class Own(Reader):
    """What `MLP.save` writes."""

    def make(self) -> list[tuple[str, bytes]]:
        return [(".safetensors", written(".safetensors", net.save)) for net in nets()]

    def change(self, data: bytes, rng: random.Random) -> bytes:
        return changed_safetensors(data, rng)


class StateDicts(Reader):
    """State dicts in safetensors."""

    refusals = (ln.FormatError, ValueError)

    def make(self) -> list[tuple[str, bytes]]:
        from safetensors.numpy import save

        weight = np.linspace(-1, 1, 12, dtype="f4").reshape(3, 4)
        state = {"0.weight": weight, "0.bias": weight[0, :3], "2.weight": weight[:, :3]}
        named = {
            f"actor.fc{i}.{k[2:]}": v
            for i, k in ((1, "0.weight"), (2, "2.weight"))
            for v in [state[k]]
        }
        return [
            (".safetensors", save({k: np.ascontiguousarray(v) for k, v in s.items()}))
            for s in (state, named)
        ]

    def change(self, data: bytes, rng: random.Random) -> bytes:
        return changed_safetensors(data, rng)

    def load(self, path: Path) -> ln.MLP:
        return ln.load(path, ["relu", "identity"])


class Torch(Reader):
    """Checkpoints that torch.save and Stable-Baselines3 write."""

    refusals = (ln.FormatError, ValueError)

    def make(self) -> list[tuple[str, bytes]]:
        import torch
        from torch import nn

        torch.manual_seed(0)
        torch.set_num_threads(1)
        module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        state = module.state_dict()
        whole = {"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 3, "name": "x"}
        policy = {
            **{f"mlp_extractor.policy_net.{k}": v for k, v in state.items()},
            **{f"action_net.{k}": v for k, v in nn.Linear(2, 2).state_dict().items()},
        }

        def saved(contents: Any, **options: Any) -> bytes:
            buffer = io.BytesIO()
            torch.save(contents, buffer, **options)
            return buffer.getvalue()

        legacy = saved(state, _use_new_zipfile_serialization=False)
        sb3 = zipped({"data": b"{}", "policy.pth": saved(policy)})
        return [(".pt", saved(state)), (".ckpt", saved(whole)), (".pth", legacy), (".zip", sb3)]

    def change(self, data: bytes, rng: random.Random) -> bytes:
        if data[:2] != b"PK" or rng.random() < 0.3:
            return changed_bytes(data, rng)
        if "policy.pth" in members_of(data) and rng.random() < 0.7:
            members = members_of(data)
            members["policy.pth"] = changed_zip(members["policy.pth"], rng)
            return zipped(members)
        return changed_zip(data, rng)

    def load(self, path: Path) -> ln.MLP:
        layers = 3 if path.suffix == ".zip" else 2
        part = "actor" if path.suffix == ".zip" else None
        return ln.load(path, ["relu"] * (layers - 1) + ["identity"], part=part)


class Onnx(Reader):
    """ONNX models: bytes, and graphs that stay sound messages."""

    def make(self) -> list[tuple[str, bytes]]:
        import onnx
        from google.protobuf.message import EncodeError
        from test_onnx_hostile import GOOD, mutate

        self.onnx, self.mutate, self.unsound = onnx, mutate, (EncodeError, ValueError)
        own = [written(".onnx", lambda path, net=net: ln.to_onnx(net, path)) for net in nets()]
        return [(".onnx", data) for data in (*GOOD, *own)]

    def change(self, data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return super().change(data, rng)
        proto = self.onnx.ModelProto()
        proto.ParseFromString(data)
        numbers = np.random.default_rng(rng.randrange(2**63))
        for _ in range(rng.randrange(1, 5)):
            if len(proto.graph.node) > 1 and len(proto.graph.initializer):
                self.mutate(proto, numbers)
        try:
            return proto.SerializeToString()
        except self.unsound:
            return data[:-1]

    def load(self, path: Path) -> ln.MLP:
        return ln.from_onnx(path)


class Keras(Reader):
    """The configuration in .keras files, and the archive around it."""

    def make(self) -> list[tuple[str, bytes]]:
        import keras
        from keras import layers

        keras.utils.set_random_seed(0)
        chain = keras.Sequential(
            [keras.Input((5,)), layers.Dense(4, "tanh"), layers.BatchNormalization(),
             layers.Dropout(0.1), layers.Dense(3, "softmax")]
        )  # fmt: skip
        x = keras.Input((5,))
        hidden = layers.ReLU(negative_slope=0.1)(layers.Dense(4)(x))
        graph = keras.Model(x, layers.Dense(2)(layers.Flatten()(hidden)))
        return [(".keras", written(".keras", model.save)) for model in (chain, graph)]

    def change(self, data: bytes, rng: random.Random) -> bytes:
        kind = rng.random()
        if kind < 0.2:
            return changed_bytes(data, rng)
        members = members_of(data)
        if kind < 0.9:
            text = members["config.json"].decode()
            members["config.json"] = changed_json(text, rng).encode()
            return zipped(members)
        # Bytes within HDF5 are its library's; whole arrays are swapped instead.
        del members[rng.choice(list(members))]
        return zipped(members)

    def load(self, path: Path) -> ln.MLP:
        return ln.from_keras(str(path))


class Samples(Reader):
    """Files of samples, by `laminet predict`."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="laminet-fuzz-")
        self.network = f"{folder}/net.safetensors"
        self.output = f"{folder}/y.csv"
        ln.MLP.init([3, 2], seed=0).save(self.network)
        super().__init__()

    def read(self, path: Path) -> bool:
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                code = main(["predict", self.network, str(path), "-o", self.output])
            except SystemExit as leave:
                code = leave.code
        if code == 0:
            return True
        assert code == 2, f"status {code}: {said.getvalue()}"
        check_words(said.getvalue(), path)
        return False


class Npy(Samples):
    """NumPy's arrays."""

    def make(self) -> list[tuple[str, bytes]]:
        x = np.arange(30.0).reshape(10, 3)
        kinds = [x, x.astype("f4"), x.astype(">i2"), np.asfortranarray(x), x > 3, x[0]]
        return [(".npy", written(".npy", lambda path, x=x: np.save(path, x))) for x in kinds]


class Csv(Samples):
    """Text with separators."""

    def make(self) -> list[tuple[str, bytes]]:
        rows = "\n".join(f"{i},{i}.5,-{i}e-3" for i in range(20))
        return [
            (".csv", rows.encode()),
            (".csv", f"a,b,c\n{rows}\n".encode()),
            (".csv", ('\ufeff"x, 1","y","z"\r\n' + rows.replace("\n", "\r\n")).encode()),
        ]


READERS: dict[str, Callable[[], Reader]] = {
    "torch": Torch,
    "keras": Keras,
    "onnx": Onnx,
    "own": Own,
    "state-dicts": StateDicts,
    "npy": Npy,
    "csv": Csv,
}
