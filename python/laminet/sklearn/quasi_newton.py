"""The solver "lbfgs": SciPy's, which is there wherever scikit-learn is."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from laminet.core.parameters import by_kind, by_name
from laminet.sklearn.objective import squares
from laminet.training import Trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.mlp import MLP
    from laminet.sklearn.objective import Objective, Samples

__all__ = ["minimized"]


def minimized(
    estimator: Any, net: MLP, objective: Objective, samples: Samples
) -> tuple[MLP, float, int]:
    """Return the network at a minimum near `net`, the loss that is reported of it, and iterations.

    What is made small and the gradient belong together: the loss times the objective's factor of
    the gradient, and the L2 term.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        For its parameters.
    net : MLP
        Where to start.
    objective : Objective
    samples : Samples
    """
    from scipy.optimize import minimize

    trainer = Trainer(net, objective.loss, "sgd", seed=0)
    core, places = trainer._core, trainer._trained._places
    shapes = {name: array.shape for name, array in by_name(core.arrays(), places).items()}
    decays = np.concatenate(
        [np.full(int(np.prod(s)), name.endswith(".weight")) for name, s in shapes.items()]
    )
    decay = samples.decay(estimator.alpha, len(samples))
    factor = objective.gradient_factor

    def flat(arrays: Any) -> NDArray[np.float64]:
        values = by_name(arrays, places).values()
        return np.concatenate([np.ravel(array) for array in values]).astype(np.float64)

    def assign(point: NDArray[np.float64]) -> None:
        cut = np.split(point, np.cumsum([int(np.prod(s)) for s in shapes.values()])[:-1])
        parts = zip(shapes.items(), cut, strict=True)
        named = {name: part.reshape(shape).astype(net.dtype) for (name, shape), part in parts}
        core.assign("parameters", by_kind(named, places))

    def value(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        assign(point)
        loss, gradients = core.value_and_gradients(samples.x, samples.targets, samples.weights)
        penalty = 0.5 * decay * squares(core.arrays()[0])
        slope = factor * flat(gradients)
        slope[decays] += decay * point[decays]
        return factor * loss + penalty, slope

    done = 0

    def after(_: Any) -> None:
        nonlocal done
        done += 1
        if estimator.verbose:
            print(f"Iteration {done}")

    found = minimize(
        value,
        flat(core.arrays()),
        method="L-BFGS-B",
        jac=True,
        callback=after,
        options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
    )
    assign(found.x)
    if found.status != 0:
        limits = f"max_iter={estimator.max_iter}, max_fun={estimator.max_fun}"
        why = f"reached a limit ({limits})" if found.status == 1 else "found no smaller loss"
        warnings.warn(
            f"lbfgs {why} after {found.nit} iterations, before the gradient fell below "
            f"tol={estimator.tol:g}: scale the data, or raise the limits",
            ConvergenceWarning,
            stacklevel=4,  # scikit-learn's frame around fit
        )
    weights = core.arrays()[0]
    loss = float(core.loss(samples.x, samples.targets, samples.weights))
    reported = objective.reported(loss) + 0.5 * decay * squares(weights)
    return trainer.network, reported, min(int(found.nit), estimator.max_iter)
