"""What both estimators share: fitting as scikit-learn fits, with laminet's training inside."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from laminet.core.mlp import MLP
from laminet.optim import FirstOrder, FullBatch, LevenbergMarquardt
from laminet.optim.schedules import Schedule
from laminet.sklearn.full_batch import Iterations
from laminet.sklearn.held_out import HeldOut, split
from laminet.sklearn.networks import (
    coefficients,
    dense_layers,
    hidden_activations,
    hidden_sizes,
    initial,
    is_of,
    with_coefficients,
    with_functions,
)
from laminet.sklearn.objective import Objective, Samples
from laminet.sklearn.quasi_newton import minimized
from laminet.sklearn.steps import Steps
from laminet.sklearn.versions import validate_data
from laminet.training.history import as_callbacks
from laminet.training.samples import as_sample_weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.activation import Activation

    Array = NDArray[Any]

__all__ = ["BaseMLP", "keep"]

# Of warnings: scikit-learn's frame around `fit`, so that filters of its module name go on working.
_AT_THEIR_FRAME = 4


def keep(estimator: Any, given: dict[str, Any]) -> None:
    """Set the arguments of a constructor, ``locals()``, as attributes, untouched."""
    for name, value in given.items():
        if name != "self" and not name.startswith("__"):
            setattr(estimator, name, value)


def _require_some(samples: Samples, use: str) -> None:
    if not len(samples):
        raise ValueError(
            "class_weight, or its product with sample_weight, is 0 for all samples: there is "
            f"nothing to {use}"
        )


class BaseMLP(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """An MLP as scikit-learn knows it; `MLPClassifier` and `MLPRegressor` say what is learnt."""

    # --- What the classifier and the regressor say --------------------------------------------

    def _samples_of(self, X: Array, y: Array, weights: Any, *, define: bool) -> Samples:
        """Return what is learnt from; note what targets are, or refuse others than those noted."""
        raise NotImplementedError

    def _objective(self, samples: Samples) -> Objective:
        raise NotImplementedError

    def _score_of(self, net: MLP, samples: Samples, steps: Steps | Iterations) -> float:
        """Return how good a network is for samples held out; NaN where it is not finite."""
        raise NotImplementedError

    def _stratified(self) -> bool:
        """Return whether samples are held out class by class."""
        return False

    # --- Fitting ------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any = None, incremental: bool = False
    ) -> Any:
        sizes = hidden_sizes(self.hidden_layer_sizes)
        functions = hidden_activations(self.activation, len(sizes))
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        if self.early_stopping and incremental:
            raise ValueError(
                "partial_fit does not support early_stopping=True: it makes one epoch a call, and "
                "holds nothing out"
            )
        as_callbacks(self.callbacks)
        if self.solver == "lbfgs" and (eval_set is not None or self.callbacks):
            raise ValueError(
                "eval_set and callbacks are for solvers that go step by step, and solver='lbfgs'"
            )
        if not self._by_steps() and self.dropout > 0:
            raise ValueError(
                "dropout is for solvers that go step by step: with it the loss is another at each "
                f"look, and solver={self.solver!r} compares losses"
            )
        if not self._by_steps() and isinstance(self.learning_rate, Schedule):
            raise ValueError(
                "a schedule of learning_rate is for solvers that go step by step, and "
                f"solver={self.solver!r} finds out how far to go"
            )
        X, y = self._validated(X, y, reset=first)
        weights = None
        if sample_weight is not None:
            checked = _check_sample_weight(sample_weight, X, dtype=np.float64)
            weights = as_sample_weight(checked, len(X))
        samples = self._samples_of(X, y, weights, define=first and not incremental).counted
        _require_some(samples, "learn from")
        objective = self._objective(samples)
        if isinstance(self.solver, LevenbergMarquardt) and objective.loss.name != "squared_error":
            raise ValueError(
                f"solver={self.solver!r} makes squares of errors small, and the loss is "
                f"{objective.loss.name}: take ln.optim.LBFGS()"
            )
        self._random_state = check_random_state(self.random_state)
        if first:
            self._begin([X.shape[1], *sizes, self.n_outputs_], functions, X.dtype)
        else:
            self._warn_of_other_sizes(sizes)
        net = self._as_asked(self._current(), functions, first)
        if net.dtype != X.dtype:
            net = net.astype(X.dtype.name)
        if not self._by_steps():
            self._state: dict[str, Any] | None = (
                None  # of an optimiser: what goes by steps after this begins anew
            )
        if self.solver == "lbfgs":
            net, self.loss_, self.n_iter_ = minimized(self, net, objective, samples)
            self._take(net)
        else:
            # a warm start may follow another solver, or another way to stop
            if not hasattr(self, "loss_curve_") or self.early_stopping != (self.best_loss_ is None):
                self._begin_curves()
            held = self._held_out(samples, eval_set, X.dtype)
            if isinstance(self.solver, FullBatch):
                self._fit_by_iterations(self.solver, net, objective, held)
            else:
                self._fit_by_steps(net, objective, samples, held, incremental)
        if not all(np.isfinite(a).all() for a in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "training diverged: the network's parameters are no longer finite. Scale the data "
                "(StandardScaler), or make learning_rate_init smaller"
            )
        return self

    def _validated(self, X: Any, y: Any = None, *, reset: bool) -> Any:
        """Return X, or X and y, as arrays; sparse ones are written out."""
        kinds = (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)
        how: dict[str, Any] = {"accept_sparse": ["csr", "csc"], "dtype": kinds, "reset": reset}
        if y is not None or reset:
            X, y = validate_data(self, X, y, multi_output=True, **how, **self._of_targets())
        else:
            X = validate_data(self, X, **how)
        X = X.toarray() if hasattr(X, "toarray") else X
        return X if y is None else (X, y)

    def _of_targets(self) -> dict[str, Any]:
        """Return what else `validate_data` is told of targets."""
        return {}

    def _begin(self, sizes: list[int], functions: Any, dtype: np.dtype[Any]) -> None:
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(sizes)
        self._take(initial(sizes, functions, self.dropout, self._random_state, dtype))
        self._state = None
        self._no_improvement = 0
        if self.solver != "lbfgs":
            self._begin_curves()

    def _begin_curves(self) -> None:
        self.loss_curve_: list[float] = []
        self.best_loss_: Any = None if self.early_stopping else np.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: Any = -np.inf if self.early_stopping else None

    def _held_out(self, samples: Samples, eval_set: Any, dtype: Any) -> HeldOut:
        """Return what is learnt from and what is scored after each epoch."""
        if eval_set is not None:
            if not isinstance(eval_set, (list, tuple)) or len(eval_set) not in (2, 3):
                raise ValueError("eval_set must be (X, y) or (X, y, sample_weight)")
            X, y = self._validated(eval_set[0], eval_set[1], reset=False)
            weights = None
            if len(eval_set) == 3:
                weights = as_sample_weight(eval_set[2], len(X), "eval_set[2]")
            X = X.astype(dtype, copy=False)
            scored = self._samples_of(X, y, weights, define=False).counted
            _require_some(scored, "score with: look at eval_set")
            if self.validation_scores_ is None:
                self.validation_scores_, self.best_validation_score_ = [], -np.inf
            return HeldOut(samples, scored)
        if not self.early_stopping:
            return HeldOut(samples)
        return split(samples, self.validation_fraction, self._random_state, self._stratified())

    def _fit_by_steps(
        self, net: MLP, objective: Objective, samples: Samples, held: HeldOut, incremental: bool
    ) -> None:
        learnt = held.learnt
        if self.batch_size == "auto":
            size = min(200, len(learnt))
        else:
            size = min(self.batch_size, len(learnt))
            if size < self.batch_size:
                warnings.warn(
                    f"batch_size is {self.batch_size}, and there are {len(learnt)} samples: all "
                    "of them are one batch",
                    stacklevel=_AT_THEIR_FRAME,
                )
        seed = int(self._random_state.randint(2**31))
        state = self._state if incremental else None
        steps = Steps(self, net, objective, learnt, size, seed, state)
        best: MLP | None = None
        diverged = False
        self.n_iter_ = 0
        try:
            for _ in range(1 if incremental else self.max_iter):
                found = self._note_epoch(steps.epoch(), held, steps)
                best = best if found is None else found
                diverged = not np.isfinite(self.loss_)
                if diverged:
                    break
                if not self.early_stopping:
                    self._note_loss()
                if self._called_back(steps):
                    break
                steps.epoch_ends(self.t_)
                if self._no_improvement > self.n_iter_no_change:
                    if not steps.goes_on():
                        if self.verbose:
                            print(f"Nothing improved by tol={self.tol:g} for too long: stopping")
                        break
                    self._no_improvement = 0
                if not incremental and self.n_iter_ == self.max_iter:
                    warnings.warn(
                        f"{self.solver} reached max_iter={self.max_iter} epochs before the "
                        f"{'score' if self.early_stopping else 'loss'} stopped improving by "
                        f"tol={self.tol:g}",
                        ConvergenceWarning,
                        stacklevel=_AT_THEIR_FRAME,
                    )
        except KeyboardInterrupt:
            warnings.warn("Interrupted: the network is as it was then", stacklevel=_AT_THEIR_FRAME)
        if diverged and best is None:
            raise ValueError(
                f"training diverged: the loss is not finite in epoch {self.n_iter_}. Scale the "
                "data (StandardScaler), or make learning_rate_init smaller"
            )
        if diverged:
            warnings.warn(
                f"training diverged in epoch {self.n_iter_}: the network of the best score is kept",
                ConvergenceWarning,
                stacklevel=_AT_THEIR_FRAME,
            )
        self._take(best if self.early_stopping and best is not None else steps.network)
        self._state = steps.state()

    def _fit_by_iterations(
        self, method: FullBatch, net: MLP, objective: Objective, held: HeldOut
    ) -> None:
        self.n_iter_ = self._no_improvement = 0
        iterations = Iterations(self, net, objective, held)
        iterations.run(method)
        name = type(method).__name__
        if iterations.stopped == "interrupted":
            warnings.warn("Interrupted: the network is as it was then", stacklevel=_AT_THEIR_FRAME)
        elif iterations.stopped in ("iterations", "stalled"):
            warnings.warn(
                f"{name} stopped after {self.n_iter_} iterations, before its tolerances were met: "
                f"scale the data, or raise max_iter={self.max_iter} and "
                f"max_iterations={method.max_iterations}",
                ConvergenceWarning,
                stacklevel=_AT_THEIR_FRAME,
            )
        best = iterations.best if self.early_stopping else None
        self._take(iterations.network if best is None else best)

    def _note_epoch(self, loss: float, held: HeldOut, now: Steps | Iterations) -> MLP | None:
        """Note an epoch, and return its network where the score of it is the best."""
        self.n_iter_ += 1
        self.t_ += len(held.learnt)
        self.loss_ = loss
        self.loss_curve_.append(loss)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")
        if isinstance(now, Iterations) and not self.early_stopping:
            self.best_loss_ = min(self.best_loss_, loss)
        if held.scored is None or not np.isfinite(loss):
            return None
        return now.network if self._note_score(now, held.scored) else None

    def _note_score(self, steps: Steps | Iterations, scored: Samples) -> bool:
        """Note the score of an epoch, and return whether it is the best."""
        assert self.validation_scores_ is not None
        score = self._score_of(steps.network, scored, steps)
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:.6f}")
        if self.early_stopping:
            worse = not score >= self.best_validation_score_ + self.tol
            self._no_improvement = self._no_improvement + 1 if worse else 0
        is_best: bool = score > self.best_validation_score_
        if is_best:
            self.best_validation_score_ = score
        return is_best

    def _note_loss(self) -> None:
        worse = self.loss_ > self.best_loss_ - self.tol
        self._no_improvement = self._no_improvement + 1 if worse else 0
        self.best_loss_ = min(self.best_loss_, self.loss_)

    def _called_back(self, steps: Steps | Iterations) -> bool:
        """Call what the user wants called after an epoch, and return whether one said to stop."""
        if not self.callbacks:
            return False
        self._take(steps.network)
        said = [call(self) for call in self.callbacks]
        return any(isinstance(value, (bool, np.bool_)) and value for value in said)

    def _by_steps(self) -> bool:
        """Whether the solver makes steps of batches."""
        return self.solver in ("sgd", "adam") or isinstance(self.solver, FirstOrder)

    def _require_steps(self) -> bool:
        if not self._by_steps():
            raise AttributeError(
                f"partial_fit needs a solver that goes step by step, and solver={self.solver!r}"
            )
        return True

    # --- The network --------------------------------------------------------------------------

    def _take(self, net: MLP) -> None:
        self._network = net
        self.coefs_, self.intercepts_ = coefficients(net)

    def _current(self) -> MLP:
        """Return the network of `coefs_` and `intercepts_`, which the user may have changed."""
        if not is_of(self.coefs_, self.intercepts_, self._network):
            self._network = with_coefficients(self.coefs_, self.intercepts_, self._network)
        return self._network

    def _warn_of_other_sizes(self, sizes: list[int]) -> None:
        *hidden, _ = dense_layers(self._network)
        there = [layer.out_features for layer in hidden]
        if sizes != there:
            warnings.warn(
                f"hidden_layer_sizes is {tuple(sizes)}, and the network of the fit before, which "
                f"this one goes on with, has {tuple(there)}",
                stacklevel=_AT_THEIR_FRAME,
            )

    def _as_asked(self, net: MLP, functions: list[Activation], first: bool) -> MLP:
        """Return the network with what parameters say of its hidden layers now, if they did not."""
        if len(functions) != len(dense_layers(net)) - 1:
            return net
        asked = (functions, self.dropout)
        before, self._asked = getattr(self, "_asked", asked), asked
        if first or asked == before:
            return net
        if functions != before[0]:
            self._state = None  # other activations may have other parameters
        # What was asked for before may have been trained since.
        both = (functions, before[0])
        changed = [new if new != old else None for new, old in zip(*both, strict=True)]
        return with_functions(net, changed, self.dropout)

    def _outputs_for(self, X: Any) -> Array:
        """Return what the network computes for samples."""
        net = self._fitted_network()
        out: Array = net(self._validated(X, reset=False))
        return out

    def _fitted_network(self) -> MLP:
        check_is_fitted(self)
        return self._current()

    def _feature_names(self) -> list[str] | None:
        names = [str(name) for name in getattr(self, "feature_names_in_", ())]
        return names if all(names) and len(set(names)) == len(names) > 0 else None

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn 1.6 and later asks of an estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
