"""What is asked of a network over a table: by which method, in which columns, of which type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.outputs import Classes, Labels
from laminet.files.result_files import label_type, names_of_outputs
from laminet.files.samples import SampleError

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["METHODS", "Answer", "NoAnswerError", "answer_of", "usual_method"]

#: Methods of `MLP` whose results are written.
METHODS = ("forward", "predict_proba", "predict")

# Bytes of rows for one call: rows, what layers make of them and the weights stay in a core's own
# cache, and a call costs nothing beside it. Wide rows need hundreds for the speed of a product.
_CALL_BYTES = 2**19
_CALL_ROWS = 1024


class NoAnswerError(Exception):
    """The network has no answer for some rows; its text says why."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network says of rows.

    Attributes
    ----------
    net : MLP
    method : str
        One of `METHODS`.
    names : list of str
        Of the columns of the result.
    like : ndarray
        A result of no rows, of the type that is written.
    """

    net: MLP
    method: str
    names: list[str]
    like: NDArray[Any]

    def of(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the result of some rows, the same for each row whatever the others are.

        Raises
        ------
        NoAnswerError
            If there is none.
        """
        function: Callable[[Any], Any] = getattr(self.net, self.method)
        rows = max(_CALL_ROWS, _CALL_BYTES // (self.net.dtype.itemsize * self.net.in_features))
        result = np.empty((len(x), *self.like.shape[1:]), self.like.dtype)
        for begin in range(0, len(x), rows):
            part = x[begin : begin + rows]
            try:
                result[begin : begin + rows] = function(part)
            except (TypeError, ValueError) as error:
                raise NoAnswerError(str(error)) from error
        return result


def usual_method(net: MLP) -> str:
    """Return what is written if nothing is said: probabilities where the outputs have them."""
    return "predict_proba" if isinstance(net.outputs, (Classes, Labels)) else "forward"


def answer_of(net: MLP, method: str, name: str, format_: str) -> Answer:
    """Return what is asked of a network; refuse what it cannot say, or files cannot hold.

    Parameters
    ----------
    net : MLP
    method : str
        One of `METHODS`.
    name : str
        What messages call the network.
    format_ : str
        Of the file that is written.
    """
    try:
        like = np.asarray(getattr(net, method)(np.empty((0, net.in_features), net.dtype)))
    except (TypeError, ValueError) as error:
        raise SampleError(f"{name}: {error}") from error
    if like.dtype.kind == "O" and format_ != "csv":
        dtype = label_type(net)
        if dtype is None:
            raise SampleError(
                f"{name}: its labels are of several kinds, which a column of .{format_} "
                "cannot be; .csv holds their text"
            )
        like = like.astype(dtype)
    names = names_of_outputs(net, method, like.shape[1] if like.ndim > 1 else None)
    labels = getattr(net.outputs, "labels", np.array([])).tolist()
    for text in [*names, *(label for label in labels if isinstance(label, str))]:
        try:
            text.encode()
        except UnicodeEncodeError:
            if format_ != "npy":
                raise SampleError(f"{name}: {text!r} is no text of UTF-8") from None
    return Answer(net, method, names, like)
