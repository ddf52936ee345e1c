"""What a model computes from each feature, until it is known which activation that is."""

from __future__ import annotations

from dataclasses import dataclass

from laminet.core.activation import Activation
from laminet.interop import scalar_functions as functions
from laminet.interop.chain import Chain
from laminet.interop.recognition import recognized
from laminet.interop.scalar_functions import FLOAT32_TOLERANCE, Function

__all__ = ["Symbol"]

_VARIABLE = functions.variable()
# Real models nest 3, in gelu; the limit keeps the recursion over a hostile one shallow.
_DEEPEST = 16


@dataclass(frozen=True, eq=False)
class Symbol:
    """The same function of each feature of a chain.

    As long as a model applies numbers and functions of one number, the chain stays what it is and
    the function grows: ``x * sigmoid(x)`` is a function of the ``x`` that both share.
    """

    chain: Chain
    function: Function = _VARIABLE

    def with_function(self, function: Function | None, what: str) -> Symbol:
        """Return the symbol with another function; refuse None, where there is no form for it."""
        if function is None:
            raise ValueError(
                f"{what} of {functions.text(self.function)} is no part of an activation"
            )
        if functions.depth(function) > _DEEPEST:
            raise ValueError(f"is the last of more than {_DEEPEST} functions of one layer")
        return Symbol(self.chain, function)

    def resolved(self, tolerance: float = FLOAT32_TOLERANCE) -> Chain:
        """Return the features as a chain.

        Raises
        ------
        ValueError
            If the function is none of the activations.
        """
        found = recognized(self.function, tolerance)
        if found is not None:
            chain = self.chain.scaled(found.k, found.m).activated(found.activation)
            return chain.scaled(found.p, found.q)
        scaled = self.function
        if not isinstance(scaled, functions.Scaled):
            scaled = functions.Scaled(scaled, 1.0, 0.0)
        outer = scaled.function
        if isinstance(outer, functions.Apply) and (
            isinstance(outer.function, Activation) or outer.function == "clip"
        ):
            # An activation of an activation: two layers.
            inner = Symbol(self.chain, outer.argument).resolved(tolerance)
            again = functions.Apply(outer.function, functions.variable(), outer.bounds)
            return Symbol(inner, functions.scaled(again, scaled.k, scaled.m)).resolved(tolerance)
        text = functions.text(self.function)
        raise ValueError(f"is given {text}, which is no activation that laminet has")
