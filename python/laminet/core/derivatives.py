"""The derivatives of a network: with respect to its inputs, and to its weights and biases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laminet.core.gradients import Gradients, assembled, given_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from laminet.core.parameters import Places

    Array = NDArray[Any]

__all__ = ["Differentiable"]


class Differentiable:
    """The methods of `MLP` that differentiate; `_derivatives` is what the core does it with."""

    __slots__ = ()

    _derivatives: Any
    #: Where layers stand that have parameters.
    _places: Places

    def jacobian(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        """Return the Jacobian of the outputs with respect to the inputs.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)
            Where to take it; read as ``net(x)`` reads it.
        out : ndarray, optional
            Where to put the result: exactly its shape and dtype, writeable, any strides; it may
            overlap `x`.

        Returns
        -------
        ndarray of shape (out_features, in_features) or (batch, out_features, in_features)
            ``J[..., i, j]``, the derivative of output ``i`` with respect to input ``j``. `out`
            where given.

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does.

        Notes
        -----
        Of a chain ``J = D_L W_L ... D_1 W_1`` with ``D_l = diag(s_l'(z_l))``; those of layers side
        by side are stacked, and of sums added. Exact but for rounding. The product is multiplied
        out from the left or from the right, whichever takes fewer operations. At a kink
        the derivative of an activation is what PyTorch takes, and ``relu'(0) = 0``; the table
        stands with `laminet.reference.activation_derivative`.

        Examples
        --------
        >>> import laminet as ln
        >>> net = ln.MLP([ln.Dense([[1.0, -1.0], [2.0, 0.0]], None, "relu")])
        >>> net.jacobian([3.0, 1.0])
        array([[ 1., -1.],
               [ 2.,  0.]])
        """
        result: Array = self._derivatives.jacobian(x, out)
        return result

    def value_and_jacobian(
        self, x: ArrayLike, *, out: tuple[Array | None, Array | None] | None = None
    ) -> tuple[Array, Array]:
        """Return the outputs and their Jacobian, by one forward pass.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)
        out : tuple of two ndarrays or None, optional
            Where to put the outputs, as for ``net(x)``, and the Jacobian, as for `jacobian`.

        Returns
        -------
        y : ndarray of shape (out_features,) or (batch, out_features)
            With the tiled back end the same bits as ``net(x)``.
        jacobian : ndarray of shape (out_features, in_features), or one such for each sample

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does; also if `out` is not a tuple of two, or these share memory.
        """
        y_out = jacobian_out = None
        if out is not None:
            if not isinstance(out, tuple) or len(out) != 2:
                raise TypeError("out must be a tuple of two arrays: of outputs, of Jacobians")
            y_out, jacobian_out = out
        result: tuple[Array, Array] = self._derivatives.value_and_jacobian(x, y_out, jacobian_out)
        return result

    def layer_jacobians(
        self, x: ArrayLike, *, out: Sequence[Array | None] | None = None
    ) -> list[Array]:
        """Return the Jacobian of each dense layer, ``J_l = D_l W_l``.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)
        out : list or tuple of ndarray or None, optional
            Where to put the results, one for each dense layer, each as for `jacobian`; None stands
            for a new array.

        Returns
        -------
        list of ndarray of shape (n_l, n_{l-1}) or (batch, n_l, n_{l-1})
            First to last, of layers within layers in the order of `gradients`; of a chain of dense
            layers ``J_L @ ... @ J_1`` is the network's. The arrays of `out` where given.

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does; also if `out` is no list or tuple, has not one entry for each dense
            layer, or two of its arrays share memory.

        Examples
        --------
        >>> import laminet as ln
        >>> net = ln.MLP.init([3, 4, 2], seed=0)
        >>> found = net.layer_jacobians([[1.0, 2.0, 3.0]])
        >>> [j.shape for j in found]
        [(1, 4, 3), (1, 2, 4)]
        >>> again = net.layer_jacobians([[3.0, 2.0, 1.0]], out=found)
        >>> again[0] is found[0]
        True
        """
        if out is not None and not isinstance(out, (list, tuple)):
            raise TypeError(
                f"out must be a list of arrays, one for each dense layer, got {type(out).__name__}"
            )
        result: list[Array] = self._derivatives.layer_jacobians(
            x, None if out is None else tuple(out)
        )
        return result

    def vjp(self, x: ArrayLike, cotangent: ArrayLike, *, out: Array | None = None) -> Array:
        """Return the vector-Jacobian product ``J^T v``, without forming ``J``.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)
        cotangent : array_like of shape (out_features,) or (batch, out_features)
            ``v``, one for each sample: the gradient of a loss with respect to the outputs, say.
        out : ndarray, optional
            As for ``net(x)``; it may overlap `x` and `cotangent`.

        Returns
        -------
        ndarray of the shape of `x`
            `out` where given.

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does, of both arguments; also if they are not one row for each other.
        """
        result: Array = self._derivatives.vjp(x, cotangent, out)
        return result

    def jvp(self, x: ArrayLike, tangent: ArrayLike, *, out: Array | None = None) -> Array:
        """Return the Jacobian-vector product ``J u``, without forming ``J``.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)
        tangent : array_like of the shape of `x`
            ``u``, one for each sample: a direction in which the inputs move.
        out : ndarray, optional
            As for ``net(x)``; it may overlap `x` and `tangent`.

        Returns
        -------
        ndarray of shape (out_features,) or (batch, out_features)
            `out` where given.

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does, of both arguments; also if they are not one row for each other.
        """
        result: Array = self._derivatives.jvp(x, tangent, out)
        return result

    def gradients(
        self, x: ArrayLike, grad_output: ArrayLike, *, out: Gradients | None = None
    ) -> Gradients:
        """Return the gradients of a loss with respect to all parameters, and to `x`.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)
        grad_output : array_like of shape (out_features,) or (batch, out_features)
            The gradient of the loss with respect to the outputs.
        out : Gradients, optional
            Where to put the results: what a call returned, or one that is made of your own arrays,
            such as views of one buffer. Each has exactly its shape and dtype, is writeable, of any
            strides, and shares no memory with another; it may overlap `x` and `grad_output`. None
            stands for a new array. What was there does not matter.

        Returns
        -------
        Gradients
            ``.weights`` [dW_1 .. dW_L], ``.biases`` [db_1 .. db_L] (None where a layer has none)
            of the dense layers, ``.norms``, and ``.activations`` of parameters by unit, summed over
            the batch, and ``.input``, shaped like `x`; ``.layers`` says where each stands. The
            arrays are those of `out` where given.

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does, of both arguments; also if they are not one row for each other, or
            `out` is not as described.

        Notes
        -----
        With ``dZ_l`` the gradient with respect to ``Z_l``: ``dW_l = dZ_l^T A_{l-1}``, ``db_l`` the
        column sums of ``dZ_l``, ``dA_{l-1} = dZ_l W_l``; of a parameter by unit the column sums of
        ``dA_l`` times the derivative of ``s_l(Z_l)`` with respect to it. With the tiled back end
        the sums over the batch have the same bits whatever the number of threads.

        Examples
        --------
        >>> import numpy as np, laminet as ln
        >>> net = ln.MLP.init([3, 4, 2], seed=0)
        >>> x, g = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")
        >>> found = net.gradients(x, g)
        >>> again = net.gradients(2 * x, g, out=found)  # in the same memory
        >>> again.weights[0] is found.weights[0]
        True
        """
        found = self._derivatives.gradients(
            x, grad_output, None if out is None else given_arrays(out)
        )
        return assembled(found, *self._places)
