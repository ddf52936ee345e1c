"""The nodes of an ONNX graph, of a function or of a branch, run over the values of `values`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laminet.core.errors import FormatError
from laminet.interop.onnx.node import Node
from laminet.interop.onnx.opsets import default_domain, opset_of
from laminet.interop.onnx.refused import reason_of
from laminet.interop.onnx.values import Failure, Tensor

if TYPE_CHECKING:
    from laminet.interop.onnx.graph import Graph

__all__ = ["Scope"]

# Functions that call functions, branches within branches: real models have two or three.
_DEEPEST = 16


class Scope:
    """Nodes and the values that their names stand for: only what is needed is computed.

    Parameters
    ----------
    graph : Graph
        The model.
    proto : onnx.GraphProto or onnx.FunctionProto
        The nodes.
    opset : int
        The version of ONNX's operators that they are of.
    parent : Scope, optional
        Of a function or a branch, where it stands.
    values : dict, optional
        What is known beforehand: the inputs of a function.
    attributes : dict, optional
        The attributes of a function.
    sees_parent : bool, default False
        Whether the parent's names may be used: in a branch.
    """

    def __init__(
        self,
        graph: Graph,
        proto: Any,
        opset: int,
        *,
        parent: Scope | None = None,
        values: dict[str, Any] | None = None,
        attributes: dict[str, Any] | None = None,
        sees_parent: bool = False,
    ) -> None:
        self.graph = graph
        self.opset = opset
        self.depth: int = 0 if parent is None else parent.depth + 1
        if self.depth > _DEEPEST:
            raise ValueError(f"is within more than {_DEEPEST} functions and branches")
        self._nodes = proto.node
        self._parent = parent
        self._outer = parent if sees_parent else None
        self._values: dict[str, Any] = dict(values or {})
        self._attributes = attributes
        self._initializers = {t.name: t for t in getattr(proto, "initializer", ())}
        self._sparse = {t.values.name for t in getattr(proto, "sparse_initializer", ())}
        self._makers: dict[str, int] = {}
        for index, node in enumerate(self._nodes):
            for name in node.output:
                if name and (name in self._makers or name in self._initializers):
                    raise FormatError(f"two nodes give {name[:60]!r}")
                if name:
                    self._makers[name] = index

    def attribute(self, proto: Any) -> Any:
        """Return an attribute, or the one of the function that it stands for; None if that is not.

        Raises
        ------
        ValueError
            If it stands for another outside of a function.
        """
        if not proto.ref_attr_name:
            return proto
        if self._attributes is None:
            raise ValueError(f"the attribute {proto.name} refers to another")
        return self._attributes.get(proto.ref_attr_name)

    def run(self, names: list[str]) -> list[Any]:
        """Return some values: `Failure` for one that is no step of a network."""
        for index in self._needed(names):
            if self._parent is not None:
                self.graph.inner_nodes_left -= 1
                if self.graph.inner_nodes_left < 0:
                    raise ValueError("calls functions with too many nodes in all")
            self._run(self._nodes[index])
        return [self._value(name) for name in names]

    def branch(self, proto: Any) -> list[Any]:
        """Return the outputs of a graph within a node, which may use this scope's names."""
        inner = Scope(
            self.graph,
            proto,
            self.opset,
            parent=self,
            attributes=self._attributes,
            sees_parent=True,
        )
        return inner.run([output.name for output in proto.output])

    def knows(self, name: str) -> bool:
        """Whether a name stands for something."""
        return name in self._makers or name in self._initializers or name in self._values

    def name_of(self, value: Any) -> str | None:
        """Return the name of a value that has been computed."""
        return next((name for name, known in self._values.items() if known is value), None)

    def reached(self, names: list[str]) -> set[str]:
        """Return all names that some values are made of."""
        found = set(names)
        for index in self._needed(names):
            found.update(names_used(self._nodes[index]))
        return found

    def _needed(self, names: list[str]) -> list[int]:
        needed: set[int] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            index = self._makers.get(name)
            if index is not None and name not in self._values and index not in needed:
                needed.add(index)
                waiting += names_used(self._nodes[index])
        return sorted(needed)

    def _value(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name in self._initializers:
            try:
                value: Any = self.graph.array(self._initializers[name])
            except ValueError as error:
                value = Failure(f"initializer {name[:60]!r}: {error}")
        elif name in self._sparse:
            value = Failure(f"initializer {name[:60]!r} is sparse: save the model with a dense one")
        elif self._outer is not None and name not in self._makers:
            return self._outer._value(name)
        else:
            value = None if self._parent is not None else self.graph.input(name)
            if value is None:
                value = Failure(f"{name[:60]!r} is used before a node gives it")
        self._values[name] = value
        return value

    def _run(self, proto: Any) -> None:
        names = list(proto.input)
        inputs = [self._value(name) if name else None for name in names]
        failed = next((value for value in inputs if isinstance(value, Failure)), None)
        count = len(proto.output)
        results = [failed] * count if failed is not None else self._results(proto, inputs)
        for name, value in zip(proto.output, [*results, *[None] * count], strict=False):
            if name:
                self._values[name] = value

    def _results(self, proto: Any, inputs: list[Any]) -> list[Any]:
        where = f"node {(proto.name or next(iter(proto.output), ''))[:60]!r} ({proto.op_type[:40]})"
        try:
            result = self._computed(proto, inputs)
        except ValueError as error:
            result = Failure(f"{where}: {error}")
        except (TypeError, OverflowError, ZeroDivisionError, IndexError):
            result = Failure(f"{where}: its constants are not of the kind that it takes")
        results = result if isinstance(result, list) else [result]
        if isinstance(result, Failure):
            results = [result] * len(proto.output)
        # What can be read is a value of this scope, not one within a function.
        pairs = zip(proto.input, inputs, strict=True)
        steps = {n for n, v in pairs if isinstance(v, Tensor) and not v.is_input}
        before = steps.pop() if len(steps) == 1 else None
        return [Failure(r.reason, before) if isinstance(r, Failure) else r for r in results]

    def _computed(self, proto: Any, inputs: list[Any]) -> Any:
        domain = "" if default_domain(proto.domain) else proto.domain
        function = self.graph.functions.get((proto.domain, proto.op_type, proto.overload))
        if function is not None:
            return self._called(function, proto, inputs)
        operator = self.graph.operators.get((domain, proto.op_type))
        if operator is None:
            raise ValueError(reason_of(domain, proto.op_type))
        node = Node(self, proto, inputs)
        result = operator(node)
        if not isinstance(result, Failure):
            node.finish()
        return result

    def _called(self, function: Any, proto: Any, inputs: list[Any]) -> list[Any]:
        """Return the outputs of a function of the model's own."""
        attributes = {a.name: a for a in function.attribute_proto}
        attributes |= {a.name: self.attribute(a) for a in proto.attribute}
        imports = function.opset_import
        padded = [*inputs, *[None] * len(function.input)]
        inner = Scope(
            self.graph,
            function,
            opset_of(imports) if any(default_domain(i.domain) for i in imports) else self.opset,
            parent=self,
            values=dict(zip(function.input, padded, strict=False)),
            attributes=attributes,
        )
        return inner.run(list(function.output))


def names_used(node: Any) -> list[str]:
    """Return all names that a node reads, those in its branches too."""
    names = list(node.input)
    waiting = [node] if node.attribute else []
    while waiting:
        for attribute in waiting.pop().attribute:
            for graph in (attribute.g, *attribute.graphs):
                names += [output.name for output in graph.output]
                for inner in graph.node:
                    names += inner.input
                    waiting.append(inner)
    return [name for name in names if name]
