"""How each runtime trains: epochs of mini-batches with Adam, in the form that it likes best.

Samples and targets are the runtime's own arrays before anything is timed. An epoch draws the order
of the samples, and makes a step with each batch: gather, forward, loss, backward, Adam.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from tasks import CHECKED_STEPS, LEARNING_RATE, Task, Weights


class Training:
    """A network in training; a call makes an epoch and waits for it."""

    def __init__(self, task: Task, dtype: str, batch: int, threads: int | None) -> None:
        self.task = task
        self.dtype = dtype
        self.batch = batch
        self.threads = threads
        self.steps = task.steps(batch)
        self.x = task.samples(batch, dtype)
        self.y = task.targets(batch, dtype)
        self.prepare()
        self.reset()

    def prepare(self) -> None:
        """Put samples and targets where the runtime wants them, build what is built once."""

    def reset(self) -> None:
        """Begin with the initial parameters, and an Adam that has made no step."""
        raise NotImplementedError

    def epoch(self) -> float:
        """Make an epoch and return a loss, which is there when all is."""
        raise NotImplementedError

    def first_steps(self) -> tuple[float, Weights]:
        """Return the loss of the first step, and the parameters after `CHECKED_STEPS`."""
        raise NotImplementedError

    def __call__(self, _x: np.ndarray) -> np.ndarray:
        return np.array(self.epoch())


class Laminet(Training):
    """`Trainer.epoch`."""

    precision: Any = None

    def prepare(self) -> None:
        import laminet as ln

        last = len(self.task.sizes) - 2
        self.net = ln.MLP(
            [
                ln.Dense(w, b, "identity" if i == last else self.task.activation)
                for i, (w, b) in enumerate(self.task.weights(self.dtype))
            ]
        )

    def reset(self) -> None:
        import laminet as ln

        # Other builds (--against) may not know the option.
        options: Any = {"precision": self.precision} if self.precision else {}
        adam = ln.optim.Adam(LEARNING_RATE)
        self.trainer = ln.Trainer(self.net, self.task.loss, adam, seed=0, **options)

    def epoch(self) -> float:
        shuffle = not self.task.full_batch
        return float(self.trainer.epoch(self.x, self.y, self.batch, shuffle=shuffle))

    def first_steps(self) -> tuple[float, Weights]:
        self.reset()
        losses = [
            self.trainer.epoch(self.x[rows], self.y[rows], self.batch, shuffle=False)
            for rows in self.task.checked(self.batch)
        ]
        layers: Any = self.trainer.network.layers
        return losses[0], [(layer.weight, layer.bias) for layer in layers]


class LaminetBfloat16(Laminet):
    """The same with products of bfloat16."""

    precision = "bfloat16"


class PyTorch(Training):
    """Eager, with the fused Adam."""

    def prepare(self) -> None:
        import torch
        from torch import nn

        if self.threads:
            torch.set_num_threads(self.threads)
        function = {"relu": nn.ReLU, "tanh": nn.Tanh}[self.task.activation]
        of_outputs = {
            "squared_error": nn.functional.mse_loss,
            "cross_entropy": nn.functional.cross_entropy,
        }[self.task.loss]
        x, y = torch.from_numpy(self.x), torch.from_numpy(self.y)
        layers: list[nn.Module] = []
        for k, n in itertools.pairwise(self.task.sizes):
            layers += [nn.Linear(k, n, dtype=x.dtype), function()]
        module = nn.Sequential(*layers[:-1])

        def loss(rows: Any) -> Any:
            return (
                of_outputs(module(x), y) if rows is None else of_outputs(module(x[rows]), y[rows])
            )

        self.module, self.loss = module, self.compiled(loss)

    def compiled(self, loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return what is called for the loss of rows."""
        return loss

    def reset(self) -> None:
        import torch

        arrays = itertools.chain.from_iterable(self.task.weights(self.dtype))
        with torch.no_grad():
            for parameter, array in zip(self.module.parameters(), arrays, strict=True):
                parameter.copy_(torch.from_numpy(array))
        self.adam = torch.optim.Adam(self.module.parameters(), LEARNING_RATE, fused=True)

    def step(self, rows: Any) -> Any:
        """Make a step and return its loss."""
        self.adam.zero_grad()
        loss = self.loss(rows)
        loss.backward()
        self.adam.step()
        return loss.detach()

    def epoch(self) -> float:
        import torch

        batches: Any = [None]
        if not self.task.full_batch:
            batches = torch.randperm(len(self.x)).split(self.batch)
        for rows in batches:
            loss = self.step(rows)
        return float(loss)

    def first_steps(self) -> tuple[float, Weights]:
        import torch

        self.reset()
        losses = [
            self.step(None if self.task.full_batch else torch.arange(rows.start, rows.stop)).item()
            for rows in self.task.checked(self.batch)
        ]
        arrays = [parameter.detach().numpy() for parameter in self.module.parameters()]
        return losses[0], list(zip(arrays[::2], arrays[1::2], strict=True))


class PyTorchCompiled(PyTorch):
    """Gather, forward, loss and their gradients by `torch.compile`, and the fused Adam."""

    def compiled(self, loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        import torch
        from torch._inductor import config

        # Each task has a new function, and after eight of them no more would be compiled.
        torch.compiler.reset()
        config.compile_threads = 1  # here: no pool of processes stays beside those that are timed
        return torch.compile(loss, dynamic=False)


class Jax(Training):
    """One `jit` over an epoch, a `lax.scan` of its batches."""

    def prepare(self) -> None:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", self.dtype == "float64")
        function = {"relu": jax.nn.relu, "tanh": jnp.tanh}[self.task.activation]
        tree = jax.tree_util.tree_map
        labels = self.task.loss == "cross_entropy"
        full_batch = self.task.full_batch

        def loss(parameters: Any, x: Any, y: Any) -> Any:
            for m, b in parameters[:-1]:
                x = function(x @ m + b)
            m, b = parameters[-1]
            z = x @ m + b
            if labels:
                return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()
            return ((z - y) ** 2).mean()

        def step(x: Any, y: Any, state: Any, rows: Any) -> Any:
            p, first, second, t = state
            if not full_batch:
                x, y = x[rows], y[rows]
            value, g = jax.value_and_grad(loss)(p, x, y)
            t = t + 1
            first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, g)
            second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, g)
            rate, root = LEARNING_RATE / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
            p = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), p, first, second)
            return (p, first, second, t), value

        def epoch(state: Any, x: Any, y: Any, rows: Any) -> Any:
            return jax.lax.scan(lambda state, rows: step(x, y, state, rows), state, rows)

        self.jitted = jax.jit(epoch, donate_argnums=0)
        self.data = jnp.asarray(self.x), jnp.asarray(self.y)
        self.rng = np.random.default_rng(0)
        if full_batch:  # a loop over epochs is within the one call too
            self.steps = CHECKED_STEPS

    def reset(self) -> None:
        import jax
        import jax.numpy as jnp

        p = [(jnp.array(w.T), jnp.array(b)) for w, b in self.task.weights(self.dtype)]
        zeros = [jax.tree_util.tree_map(jnp.zeros_like, p) for _ in range(2)]
        self.state: Any = (p, *zeros, jnp.zeros((), self.dtype))

    def scan(self, rows: np.ndarray) -> np.ndarray:
        """Make a step with each of the batches, and return the losses."""
        self.state, losses = self.jitted(self.state, *self.data, rows)
        return np.asarray(losses)

    def epoch(self) -> float:
        if self.task.full_batch:
            rows = np.zeros((self.steps, 1), np.int32)  # which nobody reads
        else:
            rows = self.rng.permutation(len(self.x)).astype(np.int32).reshape(-1, self.batch)
        return float(self.scan(rows)[-1])

    def first_steps(self) -> tuple[float, Weights]:
        self.reset()
        checked = self.task.checked(self.batch)
        rows = np.array([np.arange(r.start, r.stop) for r in checked], np.int32)
        losses = self.scan(rows)
        return float(losses[0]), [(np.asarray(m).T, np.asarray(b)) for m, b in self.state[0]]


class ScikitLearn(Training):
    """`partial_fit` with all samples, which makes an epoch; without L2, which the others lack."""

    def prepare(self) -> None:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        labels = self.task.loss == "cross_entropy"
        # Its squared error is half of the sum over outputs where slopes are concerned, and of the
        # mean where it tells the loss.
        self.scale = 1.0 if labels else 2.0
        slopes = 1.0 if labels else self.task.out_features / 2
        self.model = (MLPClassifier if labels else MLPRegressor)(
            hidden_layer_sizes=self.task.sizes[1:-1],
            activation=self.task.activation,
            alpha=0.0,
            batch_size=self.batch,
            learning_rate_init=LEARNING_RATE,
            # It is added before the moments are corrected, which the first ten steps multiply by 10
            # to 32: this is as near as a constant comes to the others' 1e-8.
            epsilon=5e-10 * slopes,
            n_iter_no_change=np.inf,
            random_state=0,
        )
        self.targets = self.y.ravel() if self.task.out_features == 1 else self.y
        first = slice(0, self.batch)
        if labels:
            classes = np.arange(self.task.out_features)
            self.model.partial_fit(self.x[first], self.targets[first], classes=classes)
        else:
            self.model.partial_fit(self.x[first], self.targets[first])

    def reset(self) -> None:
        weights = self.task.weights(self.dtype)
        self.model.coefs_ = [np.ascontiguousarray(w.T) for w, _ in weights]
        self.model.intercepts_ = [b for _, b in weights]
        self.model.__dict__.pop("_optimizer", None)  # of parameters and moments that are no more
        self.model.shuffle = not self.task.full_batch

    def epoch(self) -> float:
        self.model.partial_fit(self.x, self.targets)
        return float(self.model.loss_)

    def first_steps(self) -> tuple[float, Weights]:
        self.reset()
        self.model.shuffle = False
        losses = []
        for rows in self.task.checked(self.batch):
            self.model.partial_fit(self.x[rows], self.targets[rows])
            losses.append(self.scale * float(self.model.loss_))
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return losses[0], [(m.T, b) for m, b in pairs]
