"""`laminet.sklearn.MLPRegressor`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from laminet.core.mlp import MLP
from laminet.core.outputs import Quantities
from laminet.core.public_module import named_in
from laminet.losses import BinaryCrossEntropy, CrossEntropy, Loss, Quantile, as_loss
from laminet.optim import FirstOrder, FullBatch
from laminet.optim.schedules import Schedule
from laminet.sklearn.base import BaseMLP, keep
from laminet.sklearn.constraints import REGRESSOR
from laminet.sklearn.held_out import determination
from laminet.sklearn.objective import Objective, Samples

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.activation import Activation
    from laminet.sklearn.full_batch import Iterations
    from laminet.sklearn.steps import Steps

    Array = NDArray[Any]

__all__ = ["MLPRegressor"]


@named_in("laminet.sklearn")
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]  # scikit-learn has no types
    """A multilayer perceptron for numbers, as ``sklearn.neural_network.MLPRegressor``.

    Parameters, defaults, attributes and the initial network of a `random_state` are scikit-learn's;
    what is more here is said at each, or stands at the end of the list.

    Parameters
    ----------
    loss : str or a loss of `laminet.losses`, default "squared_error"
        ``"squared_error"`` and ``"poisson"`` are scikit-learn's: half the mean square, and half the
        deviance of counts, of which the network learns logarithms; then ``"absolute_error"``,
        ``"huber"`` and ``"quantile"``, as laminet has them. `Quantile` of several levels has an
        output for each, side by side.
    hidden_layer_sizes : int or sequence of int, default (100,)
    activation : str, Activation, or a sequence of them, default "relu"
        Of the hidden layers: ``"logistic"`` or any activation of laminet. A sequence has one for
        each hidden layer.
    solver : {"adam", "sgd", "lbfgs"} or an optimiser of `laminet.optim`, default "adam"
        An optimiser brings its own learning rate and decay: `alpha`, `learning_rate_init`,
        `momentum`, `beta_1` and the like are then not looked at. `LBFGS` and `LevenbergMarquardt`
        (of the squared error alone), which look at all samples in every iteration, bring their own
        tolerances as well; they go without `dropout`, schedules and `partial_fit`.
    alpha : float, default 1e-4
        L2: ``alpha / 2 * sum(W**2) / n`` of the weights is added to the loss, with `n` what the
        samples of a full batch weigh.
    batch_size : int or "auto", default "auto"
        "auto" is 200, or all samples if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"} or Schedule, default "constant"
        The names are for ``solver="sgd"``; a schedule of `laminet.optim.schedules` is for every
        solver of steps.
    learning_rate_init : float, default 1e-3
    power_t : float, default 0.5
        Exponent of "invscaling".
    max_iter : int, default 200
        Epochs; of "lbfgs", iterations, and of an optimiser over all samples, if it has not fewer
        itself.
    shuffle : bool, default True
    random_state : int, RandomState or None
    tol : float, default 1e-4
        What counts as an improvement of the loss, or of the score with `early_stopping`; of
        "lbfgs", how small the gradient must become. Optimisers over all samples look at it for the
        score alone.
    verbose : bool or int, default False
    warm_start : bool, default False
        Whether `fit` goes on from the network that there is, with the `activation` and `dropout` of
        now.
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
    early_stopping : bool, default False
        Hold out `validation_fraction` of the samples, stop when their score no longer improves,
        and keep the network of the best.
    validation_fraction : float, default 0.1
    beta_1, beta_2 : float, default 0.9 and 0.999
    epsilon : float, default 1e-8
        Of "adam", where PyTorch has it; scikit-learn's is effectively larger by
        ``1 / sqrt(1 - beta_2**t)`` in step `t`.
    n_iter_no_change : int, default 10
    max_fun : int, default 15000
        Calls of the loss by "lbfgs".
    dropout : float, default 0.0
        Rate behind each hidden layer, in training alone.
    callbacks : sequence of callable, default ()
        Each is called with the estimator after every epoch, whose attributes are as of then; what
        returns True ends training.
    dtype : {"float32", "float64"} or None
        What is computed with. None is scikit-learn's rule: float32 for float32 samples, else
        float64, so that a script's numbers keep their digits. "float32" is about twice as fast.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (inputs, outputs)
        Weights. They may be changed: the next call goes by what they are.
    intercepts_ : list of ndarray of shape (outputs,)
    loss_, best_loss_ : float
        In the last epoch, and the smallest; `best_loss_` is None with `early_stopping`.
    loss_curve_ : list of float
        The loss of each epoch, measured while it went on; of an optimiser over all samples, after
        each iteration.
    validation_scores_ : list of float, or None
        R squared on what is held out after each epoch; of `Quantile` of several levels, minus the
        loss.
    best_validation_score_ : float or None
    n_iter_, t_, n_layers_, n_outputs_, n_features_in_ : int
        Epochs of the last fit, samples seen, layers with the input's, outputs, features.
    out_activation_ : {"identity", "exp"}
    feature_names_in_ : ndarray of str
        If samples came with names.

    Notes
    -----
    Sparse samples are written out as dense arrays. scikit-learn follows the gradient of half the
    squares summed over outputs while it reports their mean; learning rates mean the same here, and
    ``solver="lbfgs"`` makes small what the gradient belongs to. A run whose loss is no longer
    finite is a ValueError; with a score noted before, a ConvergenceWarning and the network of the
    best score.

    Examples
    --------
    >>> import numpy as np
    >>> from laminet.sklearn import MLPRegressor
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> y = np.sin(3 * X[:, 0])
    >>> model = MLPRegressor(hidden_layer_sizes=16, solver="lbfgs", activation="tanh")
    >>> model = model.set_params(random_state=0, max_iter=1000, tol=1e-6).fit(X, y)
    >>> bool(model.score(X, y) > 0.999)
    True
    >>> model.to_mlp()
    MLP(1 -> 16 tanh -> 1 identity, float64, 49 parameters, quantities)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = REGRESSOR

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Activation | Sequence[str | Activation] = "relu",
        *,
        solver: str | FirstOrder | FullBatch = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str | Schedule = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        callbacks: Sequence[Callable[[Any], Any]] = (),
        dtype: str | None = None,
    ) -> None:
        keep(self, locals())

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]  # no types
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        eval_set: Any = None,
    ) -> MLPRegressor:
        """Train a network, from the start unless `warm_start` is set.

        Parameters
        ----------
        X : array_like or sparse of shape (samples, features)
        y : array_like of shape (samples,) or (samples, targets)
        sample_weight : array_like of shape (samples,), optional
            At least 0. A sample of weight 0 is as if it were not there.
        eval_set : tuple of X, y and, if wanted, weights, optional
            Scored after each epoch, in place of a part that is held out.

        Returns
        -------
        MLPRegressor
            Itself.

        Raises
        ------
        ValueError
            If parameters or data make no sense, or training diverged.
        """
        fitted: MLPRegressor = self._fit(X, y, sample_weight, eval_set)
        return fitted

    @available_if(lambda self: self._require_steps())  # type: ignore[untyped-decorator]  # no types
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]  # no types
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> MLPRegressor:
        """Make one epoch with these samples, going on from the network and optimiser there are.

        Parameters
        ----------
        X, y, sample_weight
            As of `fit`.

        Returns
        -------
        MLPRegressor
            Itself.
        """
        fitted: MLPRegressor = self._fit(X, y, sample_weight, incremental=True)
        return fitted

    def predict(self, X: ArrayLike) -> Array:
        """Return numbers of shape (samples,), or (samples, outputs) for several outputs."""
        out = self._values(self._outputs_for(X))
        return out[:, 0] if out.shape[1] == 1 else out

    def to_mlp(self) -> MLP:
        """Return the network, which knows the features' names.

        Returns
        -------
        MLP
            With ``loss="poisson"`` its outputs are logarithms of what `predict` gives. It shares no
            memory with the estimator.
        """
        net = self._fitted_network()
        return MLP(
            net.layers,
            outputs=Quantities(),
            feature_names=self._feature_names(),
            dtype=net.dtype.name,
        )

    # --- What is learnt -----------------------------------------------------------------------

    def _of_targets(self) -> dict[str, Any]:
        return {"y_numeric": True}

    def _samples_of(self, X: Array, y: Array, weights: Any, *, define: bool) -> Samples:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        wide = y[:, None] if y.ndim == 1 else y
        loss = as_loss(self.loss)
        if isinstance(loss, (BinaryCrossEntropy, CrossEntropy)):
            raise ValueError(f"loss must be one of numbers, got {loss!r}: MLPClassifier takes it")
        outputs = wide.shape[1] * (len(loss.levels) if isinstance(loss, Quantile) else 1)
        if define or not hasattr(self, "n_outputs_"):
            self.n_outputs_ = outputs
            self.out_activation_ = "exp" if loss.name == "poisson" else "identity"
        if outputs != self.n_outputs_:
            raise ValueError(
                f"y takes {outputs} outputs, and the network of the fit before has "
                f"{self.n_outputs_}"
            )
        return Samples(X, loss.as_targets(wide, outputs, X.dtype), weights)

    def _objective(self, samples: Samples) -> Objective:
        loss, outputs = as_loss(self.loss), self.n_outputs_
        if loss.name == "squared_error":
            return Objective(loss, outputs / 2, 0.5)
        if loss.name == "poisson":
            # theirs is summed over outputs, and 0 where a prediction is met
            y = samples.targets.astype(np.float64)
            least = y * np.log(np.where(y > 0, y, 1.0)) - y
            shift = float(np.average(least, axis=0, weights=samples.weights).sum())
            return Objective(loss, outputs, outputs, shift)
        return Objective(loss)

    def _values(self, outputs: Array) -> Array:
        """Return what is predicted, of what the network computes."""
        return np.exp(outputs) if self.out_activation_ == "exp" else outputs

    def _score_of(self, net: MLP, samples: Samples, steps: Steps | Iterations) -> float:
        predicted = self._values(net(samples.x))
        if not np.isfinite(predicted).all():
            return np.nan
        if predicted.shape != samples.targets.shape:
            return -steps.loss_of(samples)
        return determination(predicted, samples.targets, samples.weights)
