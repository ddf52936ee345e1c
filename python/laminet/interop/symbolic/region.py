"""What lies between values that are known and values that are wanted, in the graph of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from laminet.interop.symbolic.forms import Activated, Averaged, Form, Input, Joined, Node, Summed

__all__ = ["Region", "Users"]

# Real models have some hundred layers; each is a form and a step.
_MOST_NODES = 2**17


class Users:
    """How often each node of a graph is used, and what a node is computed of.

    A sum whose only use is as a part of another sum is none of its own, and so are joins.
    """

    def __init__(self, result: Form) -> None:
        nodes = _in_order([result], {}, _parts)
        self._counts = Counter(id(other) for node in nodes for other in _parts(node))
        self._known = {id(node) for node in nodes}

    def before(self, node: Node) -> tuple[Node, ...]:
        """Return what a node is computed of."""
        if isinstance(node, (Summed, Joined)):
            return tuple(self.parts(node))
        base = self.scaled_of(node)
        return _parts(node) if base is None else (base,)

    def scaled_of(self, node: Node) -> Form | None:
        """Return the form that a node scales, where that is computed in any case."""
        if not isinstance(node, Form) or node.scaled_of is None or node.weight is None:
            return None
        base = node.scaled_of[0]
        return base if id(base) in self._known else None

    def parts(self, node: Summed | Joined) -> list[Form]:
        """Return the parts of a sum or join, those of sums or joins within it too."""
        result: list[Form] = []
        waiting: list[Any] = list(reversed(node.parts))
        while waiting:
            part = waiting.pop()
            inner = part.step
            once = self._counts[id(part)] == self._counts[id(inner)] == 1
            same = isinstance(inner, (Summed, Joined)) and type(inner) is type(node)
            if part.plain and once and same:
                waiting += reversed(_parts(inner))
            else:
                result.append(part)
        return result


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Form):
        return (node.step,)
    if isinstance(node, (Summed, Joined)):
        return node.parts
    return () if isinstance(node, Input) else (node.of,)


def _in_order(wanted: Iterable[Node], known: Mapping[Any, Any], before: Any) -> list[Node]:
    """Return what wanted values are made of, each node after those before it."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(node, False) for node in wanted]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            if len(seen) > _MOST_NODES:
                raise ValueError(f"is computed in more than {_MOST_NODES} steps")
            stack.append((node, True))
            if node not in known:
                stack += [(other, False) for other in before(node)]
    return order


class Region:
    """The nodes between some that are known and some that are wanted.

    Attributes
    ----------
    users : Users
    input_width : int or None
        How many features the input has, as far as anything says it.
    """

    def __init__(self, wanted: Sequence[Node], known: Mapping[Any, Any], users: Users) -> None:
        self.users = users
        self.input_width: int | None = None
        # The nearest node through which every way from a node to what is known goes; None where
        # there are several known ones, and no such node. And how many of these follow one another.
        self._above: dict[Node, Node | None] = {}
        self._depth: dict[Node | None, int] = {None: 0}
        for node in _in_order(wanted, known, users.before):
            others = () if node in known else users.before(node)
            above = self.fork(others) if others else None
            self._above[node] = above
            self._depth[node] = self._depth[above] + 1
            if isinstance(node, Form) and isinstance(node.step, Input):
                matrix = node.weight
                width = node.total or node.width if matrix is None else matrix.shape[1]
                self.input_width = max(self.input_width or 0, width or 0) or None

    def fork(self, nodes: Sequence[Node]) -> Node | None:
        """Return the nearest node through which every way from some nodes goes, or one of them."""
        first: Node | None = nodes[0]
        for other in nodes[1:]:
            second: Node | None = other
            while first is not second:
                if self._depth[first] >= self._depth[second]:
                    first = self._above[first] if first is not None else None
                else:
                    second = self._above[second] if second is not None else None
        return first

    def carried(self, parts: Sequence[Node], known: Mapping[Any, Any]) -> list[Node]:
        """Return what several parts need that is made of what is known, and of that what they need.

        Empty where each part needs what is known and its own nodes alone.
        """
        cones = [_in_order([part], known, self.users.before) for part in parts]
        counts = Counter(id(node) for cone in cones for node in cone)
        every = {id(node): node for cone in cones for node in cone}
        shared = {
            key
            for key, node in every.items()
            if counts[key] > 1 and node not in known and not _is_cheap(node, known)
        }
        if not shared:
            return []
        wanted: dict[int, Node] = {}
        for part in parts:
            if id(part) in shared or part in known:
                wanted[id(part)] = part
        for key, node in every.items():
            if key in shared or node in known:
                continue
            for other in self.users.before(node):
                if id(other) in shared or other in known:
                    wanted[id(other)] = other
        return list(wanted.values())

    def width(self, node: Node) -> int:
        """Return how many features a node has."""
        if isinstance(node, Form):
            return node.width or 1
        if isinstance(node, Input):
            return self.input_width or 1
        if isinstance(node, Averaged):
            return 1
        if isinstance(node, Summed):
            return node.parts[0].width or 1
        if isinstance(node, Joined):
            return sum(part.width or 0 for part in node.parts)
        return node.of.width or 1


def _is_cheap(node: Node, known: Mapping[Any, Any]) -> bool:
    """Whether a node is some of the features that are known, at most scaled."""
    if isinstance(node, Activated):
        return node.activation.name == "identity" and _is_cheap(node.of, known)
    if not isinstance(node, Form) or node.weight is not None:
        return False
    return node.step in known or _is_cheap(node.step, known)
