"""`fit`: steps by gradients that the workers of Dask compute, each of the rows that it holds."""

from __future__ import annotations

import math
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from laminet.core.conversion.counts import as_count
from laminet.core.layers.dropout import drops
from laminet.core.mlp import MLP
from laminet.distributed.parts import (
    Part,
    Run,
    Share,
    flat,
    forget,
    gradients,
    joined,
    phases,
    prepared,
    steps_with_rows,
    unflat,
)
from laminet.training import Epoch, Fit, History, Trainer, TrainingError, descriptions
from laminet.training.errors import diverged
from laminet.training.history import as_callbacks
from laminet.training.seed import as_seed

if TYPE_CHECKING:
    from laminet.losses import Loss
    from laminet.optim import FirstOrder

__all__ = ["fit"]

# What as many workers have found one task joins.
_AT_ONCE = 8

# Parameters of so many bytes go along with each task; larger ones, once, to those who need them.
_SMALL = 2**16


def fit(
    client: Any,
    net: MLP,
    parts: Iterable[Any],
    *,
    loss: Loss | str | Mapping[str, Any] | None = None,
    optimizer: FirstOrder | str | Mapping[str, Any] | None = None,
    batch_size: int | None = 1024,
    epochs: int = 100,
    seed: int | None = None,
    callbacks: Callable[[Epoch], Any] | Sequence[Callable[[Epoch], Any]] = (),
) -> Fit:
    """Train a network on rows that workers of Dask hold, each step by all of them.

    Each worker computes the gradients of its rows; means of them are joined in an order that is
    that of the parts, and this process makes the step. So the network has the same bits for any
    number of workers, whoever holds which part, and whoever dies on the way.

    Parameters
    ----------
    client : dask.distributed.Client
    net : MLP
        Where to start; without `Dropout`.
    parts : iterable of Future
        Of tuples (X, y) or (X, y, sample_weight), as `laminet.fit` takes them, each a part of the
        rows; a part may be without any, or without any that weighs. Futures of functions that load
        them (``client.map(load, paths)``): what is lost with a worker is then loaded again by
        another.
    loss, optimizer
        As of `laminet.Trainer`; the loss is that of ``net.outputs`` if nothing is said.
    batch_size : int or None, default 1024
        How many rows that weigh make a step, of all parts together, each giving a share by its
        size. None for all.
    epochs : int, default 100
    seed : int, optional
        Of the order of rows within parts. Without one it is another in each run.
    callbacks : callable or sequence of callables
        Each is called with an `Epoch` after each epoch.

    Returns
    -------
    Fit
        ``.network`` of the last step, ``.history``, ``.stopped``.

    Raises
    ------
    ValueError, TypeError
        If an argument, or what a part holds, is not what is expected; the message names the part.
    TrainingError
        If a loss is not finite; or parts are lost that nothing loads again, or that every worker
        dies of. It carries the network so far.
    Exception
        What a callback raises, or the cluster. What had been made by then is its attribute ``fit``,
        where an epoch was complete.

    Notes
    -----
    The bits depend on the parts, that is on how rows were divided among them, and on their order.
    With one part and ``batch_size=None`` the steps are those of `laminet.Trainer.step`.

    Examples
    --------
    Of files, a part each (docs/how-to/distributed-training.md has the whole)::

        parts = client.map(load, paths)
        fit = ln.distributed.fit(client, net, parts, batch_size=4096, epochs=10, seed=0)
        fit.network.save("trained.safetensors")
    """
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an ln.MLP, got {type(net).__name__}")
    if not all(hasattr(client, name) for name in ("submit", "gather", "nthreads")):
        raise TypeError(f"client must be a dask.distributed.Client, got {type(client).__name__}")
    if drops(net.layers):
        raise ValueError("net drops features (ln.Dropout): train it without, or with ln.fit")
    if isinstance(parts, (str, bytes, Mapping)) or not isinstance(parts, Iterable):
        raise TypeError(
            f"parts must be a sequence of futures, got {type(parts).__name__}: see client.map"
        )
    given = list(parts)
    if not given:
        raise ValueError("parts is empty: there is nothing to learn from")
    count = as_count(epochs, "epochs")
    size = None if batch_size is None else as_count(batch_size, "batch_size")
    calls = as_callbacks(callbacks)
    trainer = Trainer(net, loss, optimizer, seed=as_seed(seed))
    run = Run(
        f"laminet-{uuid.uuid4().hex}",
        trainer._start,
        trainer.loss_function,
        trainer._seed,
        shuffle=size is not None,
        parts=len(given),
    )
    try:
        return _Steps(client, run, trainer, given).fit(count, size, calls)
    finally:
        # Of a cluster that is gone nothing need be given back, and its own error is the one to see.
        with suppress(Exception):
            client.run(forget, run.name, on_error="ignore")


class _Steps:
    """The steps of a run; `rows` are those of all parts."""

    def __init__(self, client: Any, run: Run, trainer: Trainer, given: list[Any]) -> None:
        self._client, self._run, self._trainer = client, run, trainer
        self._told = self._submit(_same, run)
        # Neighbours lie together, so that of many means few are sent.
        workers = sorted(client.nthreads())
        if not workers:
            raise ValueError("client has no workers")
        self._groups: dict[str, list[Any]] = {}
        for i, part in enumerate(given):
            worker = workers[i * len(workers) // len(given)]
            held = self._submit(prepared, self._told, i, part, worker=worker)
            self._groups.setdefault(worker, []).append(held)
        self._shifts: dict[str, list[int]] = {}
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.seconds: list[float] = []

    def fit(self, epochs: int, size: int | None, calls: Sequence[Callable[[Epoch], Any]]) -> Fit:
        found = self._results([self._submit(_rows, parts) for parts in self._groups.values()])
        lengths = list(chain.from_iterable(found))
        if not any(lengths):
            raise ValueError("parts have no rows that weigh: there is nothing to learn from")
        count = 1 if size is None else -(-sum(lengths) // size)
        shifts = iter(phases(lengths, count))
        self._shifts = {w: list(islice(shifts, len(p))) for w, p in self._groups.items()}
        steps = steps_with_rows(lengths, count).tolist()
        self._trainer._total_steps = epochs * len(steps)
        stopped = "epochs"
        try:
            for number in range(1, epochs + 1):
                begun = time.perf_counter()
                loss, rate = self._epoch([Share(number, step, count) for step in steps])
                self.losses.append(loss)
                self.rates.append(rate)
                self.seconds.append(time.perf_counter() - begun)
                if self._epoch_of(number, epochs)._tell(calls):
                    stopped = "callback"
                    break
        except KeyboardInterrupt:
            stopped = "interrupted"
            warnings.warn(
                f"training was interrupted in epoch {len(self.losses) + 1}: the network is that of "
                "the steps that had been made",
                stacklevel=3,
            )
        except TrainingError:
            raise
        except Exception as error:
            if self.losses:
                error.fit = self._made("error")  # type: ignore[attr-defined]  # for users
            raise
        return self._made(stopped)

    def _made(self, stopped: str) -> Fit:
        best = 1 + min(range(len(self.losses)), key=self.losses.__getitem__, default=-1)
        return Fit(self._trainer.network, self._history(), best, stopped)

    def _epoch_of(self, number: int, epochs: int) -> Epoch:
        loss, rate, seconds = self.losses[-1], self.rates[-1], self.seconds[-1]
        trainer = self._trainer
        return Epoch(number, epochs, loss, None, {}, rate, seconds, lambda: trainer.network)

    def _history(self) -> History:
        return History(tuple(self.losses), (), {}, tuple(self.rates), tuple(self.seconds))

    def _epoch(self, shares: Iterable[Share]) -> tuple[float, float]:
        """Make the steps of an epoch; return its loss and the learning rate of the last one."""
        trainer, mean, total = self._trainer, 0.0, 0.0
        for share in shares:
            weight, loss, gradients = self._mean(share)
            if not math.isfinite(loss):
                error = diverged(loss, share.epoch, trainer.steps + 1, trainer.network)
                error.history = self._history()
                raise error
            rate = descriptions.learning_rates(
                trainer.optimizer, trainer.steps, 1, trainer._total_steps, trainer._losses
            )[0]
            trainer._core.apply(unflat(gradients, trainer._core.arrays()), rate)
            trainer._last_rate = float(rate)
            total += weight
            mean += (weight / total) * (loss - mean)  # of one step, its loss to the last bit
        trainer._epochs += 1
        trainer._losses.append(mean)
        return mean, trainer._last_rate

    def _mean(self, share: Share) -> Any:
        """Return the mean of a share of all parts, with the parameters of now."""
        parameters = flat(self._trainer._core.arrays())
        if parameters.nbytes > _SMALL:
            # As a task, and not as data: what is lost with a worker is there again.
            parameters = self._submit(_same, parameters)
        level = [
            self._submit(gradients, self._told, parts, parameters, share, shifts, worker=worker)
            for (worker, parts), shifts in zip(
                self._groups.items(), self._shifts.values(), strict=True
            )
        ]
        while len(level) > _AT_ONCE:
            some = [level[i : i + _AT_ONCE] for i in range(0, len(level), _AT_ONCE)]
            level = [self._submit(joined, self._told, found) for found in some]
        (mean,) = joined(self._run, self._results(level)).values()
        return mean

    def _submit(
        self, function: Callable[..., Any], *arguments: Any, worker: str | None = None
    ) -> Any:
        """Submit a task, to a worker as long as it is there."""
        where = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
        return self._client.submit(function, *arguments, pure=False, **where)

    def _results(self, futures: list[Any]) -> list[Any]:
        from dask.distributed import CancelledError, KilledWorker

        try:
            found: list[Any] = self._client.gather(futures)
        except (CancelledError, KilledWorker) as error:
            what = "workers died of it" if isinstance(error, KilledWorker) else "it is lost"
            raise TrainingError(
                f"a part cannot be computed in step {self._trainer.steps + 1}: {what}. Parts that "
                "were made by functions (client.map(load, paths)) are loaded again where a worker "
                "dies",
                network=self._trainer.network,
                history=self._history(),
                epoch=len(self.losses) + 1,
                step=self._trainer.steps + 1,
            ) from None
        return found


def _same(value: Any) -> Any:
    return value


def _rows(parts: Iterable[Part]) -> list[int]:
    return [len(part.x) for part in parts]
