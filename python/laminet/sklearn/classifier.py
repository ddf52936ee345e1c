"""`laminet.sklearn.MLPClassifier`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from laminet.core.layers.dense import Dense
from laminet.core.mlp import MLP
from laminet.core.outputs import Classes, Labels
from laminet.core.public_module import named_in
from laminet.losses import BinaryCrossEntropy, CrossEntropy, Loss
from laminet.optim import FirstOrder, FullBatch
from laminet.optim.schedules import Schedule
from laminet.sklearn.base import BaseMLP, keep
from laminet.sklearn.class_weights import weighed
from laminet.sklearn.constraints import CLASSIFIER
from laminet.sklearn.held_out import accuracy
from laminet.sklearn.objective import Objective, Samples

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.activation import Activation
    from laminet.sklearn.full_batch import Iterations
    from laminet.sklearn.steps import Steps

    Array = NDArray[Any]

__all__ = ["MLPClassifier"]


@named_in("laminet.sklearn")
class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]  # scikit-learn has no types
    """A multilayer perceptron that classifies, as ``sklearn.neural_network.MLPClassifier``.

    Parameters, defaults, attributes and the initial network of a `random_state` are scikit-learn's;
    what is more here stands at the end of the list. The order of samples is laminet's own.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
    activation : str, Activation, or a sequence of them, default "relu"
        Of the hidden layers: ``"logistic"`` or any activation of laminet. A sequence has one for
        each hidden layer.
    solver : {"adam", "sgd", "lbfgs"} or an optimiser of `laminet.optim`, default "adam"
        An optimiser brings its own learning rate and decay: `alpha`, `learning_rate_init`,
        `momentum`, `beta_1` and the like are then not looked at. `LBFGS`, which looks at all
        samples in every iteration, brings its own tolerances as well; it goes without `dropout`,
        schedules and `partial_fit`.
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
    loss : "log_loss" or a loss of `laminet.losses`, default "log_loss"
        `CrossEntropy` of three classes or more, `BinaryCrossEntropy` of two and of labels.
    class_weight : dict, "balanced", list of dict, or None
        Weights of classes; a list has one for each label.
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
    classes_ : ndarray of shape (n_classes,)
    coefs_ : list of ndarray of shape (inputs, outputs)
        Weights. They may be changed: the next call goes by what they are.
    intercepts_ : list of ndarray of shape (outputs,)
    loss_, best_loss_ : float
        In the last epoch, and the smallest; `best_loss_` is None with `early_stopping`.
    loss_curve_ : list of float
        The loss of each epoch, measured while it went on; of an optimiser over all samples, after
        each iteration.
    validation_scores_ : list of float, or None
        Accuracy on what is held out after each epoch.
    best_validation_score_ : float or None
    n_iter_, t_, n_layers_, n_outputs_, n_features_in_ : int
        Epochs of the last fit, samples seen, layers with the input's, outputs, features.
    out_activation_ : {"softmax", "logistic"}
    feature_names_in_ : ndarray of str
        If samples came with names.

    Notes
    -----
    Sparse samples are written out as dense arrays. ``solver="lbfgs"`` makes the loss small whose
    gradient it is given, also for many outputs. A run whose loss is no longer finite is a
    ValueError; with a score noted before, a ConvergenceWarning and the network of the best score.

    Examples
    --------
    >>> import numpy as np
    >>> from laminet.sklearn import MLPClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
    >>> model = MLPClassifier((16,), "tanh", solver="lbfgs", random_state=0).fit(X, y)
    >>> model.predict([[1.0, 1.0], [1.0, -1.0]]).tolist()
    ['same', 'other']
    >>> bool(model.score(X, y) > 0.95)
    True
    >>> model.to_mlp()
    MLP(2 -> 16 tanh -> 1 sigmoid, float64, 65 parameters, classes: 'other', 'same')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = CLASSIFIER

    def __init__(
        self,
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
        loss: str | Loss = "log_loss",
        class_weight: Any = None,
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
    ) -> MLPClassifier:
        """Train a network, from the start unless `warm_start` is set.

        Parameters
        ----------
        X : array_like or sparse of shape (samples, features)
        y : array_like of shape (samples,), or of 0 and 1 of shape (samples, labels)
        sample_weight : array_like of shape (samples,), optional
            At least 0. A sample of weight 0 is as if it were not there.
        eval_set : tuple of X, y and, if wanted, weights, optional
            Scored after each epoch, in place of a part that is held out.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        ValueError
            If parameters or data make no sense, or training diverged.
        """
        fitted: MLPClassifier = self._fit(X, y, sample_weight, eval_set)
        return fitted

    @available_if(lambda self: self._require_steps())  # type: ignore[untyped-decorator]  # no types
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]  # no types
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> MLPClassifier:
        """Make one epoch with these samples, going on from the network and optimiser there are.

        Parameters
        ----------
        X, y, sample_weight
            As of `fit`.
        classes : array_like of shape (n_classes,)
            All that will ever come; needed in the first call.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        ValueError
            If `classes` are missing in the first call, or others later on.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all samples at once: give partial_fit a dict"
            )
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit")
            self._multilabel = str(type_of_target(y)).startswith("multilabel")
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"classes is {unique_labels(classes)}, and those of the calls before are "
                f"{self.classes_}"
            )
        fitted: MLPClassifier = self._fit(X, y, sample_weight, incremental=True)
        return fitted

    def predict(self, X: ArrayLike) -> Array:
        """Return classes, or for many labels an array of 0 and 1 of shape (samples, labels)."""
        logits = self._outputs_for(X)
        chosen = self._chosen(logits)
        return chosen.astype(np.int64) if self._multilabel else self.classes_[chosen]

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return probabilities of shape (samples, n_classes), in the order of `classes_`."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return logarithms of probabilities, which are finite for all finite outputs."""
        logits = self._outputs_for(X)
        if self._multilabel:
            return -np.logaddexp(0, -logits)
        if self.n_outputs_ == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        top = logits - logits.max(axis=1, keepdims=True)
        log_proba: Array = top - np.log(np.exp(top).sum(axis=1, keepdims=True))
        return log_proba

    def to_mlp(self) -> MLP:
        """Return the network, which knows its classes and the features' names.

        Returns
        -------
        MLP
            Its outputs are probabilities: softmax of classes, a sigmoid where there are two, and
            one of each label. It shares no memory with the estimator.

        Raises
        ------
        ValueError
            If there is but one class.
        """
        logits = self._fitted_network()
        outputs = Labels(self.classes_) if self._multilabel else Classes(self.classes_)
        layers = list(logits.layers)
        if self.out_activation_ == "logistic":
            last = layers[-1]
            assert isinstance(last, Dense)
            layers[-1] = Dense(last.weight, last.bias, "sigmoid")
        return MLP(
            layers,
            head="softmax" if self.out_activation_ == "softmax" else None,
            outputs=outputs,
            feature_names=self._feature_names(),
            dtype=logits.dtype.name,
        )

    # --- What is learnt -----------------------------------------------------------------------

    def _samples_of(self, X: Array, y: Array, weights: Any, *, define: bool) -> Samples:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        kind = str(type_of_target(y))
        labels = kind.startswith("multilabel")
        if kind == "multiclass-multioutput":
            raise ValueError(
                "y has several columns of classes: give one column, or 0 and 1 for each label"
            )
        if define:
            self._multilabel = labels
            self.classes_ = np.arange(y.shape[1]) if labels else unique_labels(y)
        self._require_known(y, labels)
        several = labels or len(self.classes_) > 2
        self.n_outputs_ = len(self.classes_) if several else 1
        self.out_activation_ = "softmax" if several and not labels else "logistic"
        if self.class_weight is not None:
            weights = weighed(weights, self.class_weight, y, self.classes_, labels)
        if labels:
            return Samples(X, y.astype(X.dtype), weights)
        index = np.searchsorted(self.classes_, y).astype(np.int64)
        return Samples(X, index if several else index[:, None].astype(X.dtype), weights)

    def _require_known(self, y: Array, labels: bool) -> None:
        if labels != self._multilabel:
            now, before = ("labels", "classes") if labels else ("classes", "labels")
            raise ValueError(f"y has {now}, and the fit before had {before}")
        if labels:
            if y.shape[1] != len(self.classes_):
                raise ValueError(
                    f"y has {y.shape[1]} labels, and the fit before had {len(self.classes_)}"
                )
            return
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unknown):
            raise ValueError(f"y has classes {unknown} that are not in classes_: {self.classes_}")

    def _objective(self, samples: Samples) -> Objective:
        softmax = self.out_activation_ == "softmax"
        if not isinstance(self.loss, Loss):
            # theirs sums over labels, ours is their mean
            sum_of = float(self.n_outputs_)
            return (
                Objective(CrossEntropy())
                if softmax
                else Objective(BinaryCrossEntropy(), sum_of, sum_of)
            )
        if not isinstance(self.loss, CrossEntropy if softmax else BinaryCrossEntropy):
            expected = "CrossEntropy" if softmax else "BinaryCrossEntropy"
            raise ValueError(
                f"loss must be 'log_loss' or an ln.losses.{expected} for {len(self.classes_)} "
                f"{'labels' if self._multilabel else 'classes'}, got {self.loss!r}"
            )
        return Objective(self.loss)

    def _stratified(self) -> bool:
        return self.n_outputs_ == 1  # as theirs: of two classes alone

    def _score_of(self, net: MLP, samples: Samples, steps: Steps | Iterations) -> float:
        logits = net(samples.x)
        if not np.isfinite(logits).all():
            return np.nan
        targets = samples.targets
        if self.n_outputs_ == 1:
            targets = targets[:, 0]
        return accuracy(self._chosen(logits), targets, samples.weights)

    def _chosen(self, logits: Array) -> Array:
        """Return the index of each sample's class, or whether it has each label."""
        if self._multilabel:
            return np.asarray(logits > 0)
        if self.n_outputs_ == 1:  # with a single class there is no other
            return np.minimum(logits[:, 0] > 0, len(self.classes_) - 1).astype(np.intp)
        indices: Array = logits.argmax(axis=1)
        return indices

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn 1.6 and later asks of a classifier."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
