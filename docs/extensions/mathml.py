"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_ACCENTS = "ˉ^~˙"


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(_mathml(node.astext()))
    raise SkipNode


def _block(translator: Any, node: Any) -> None:
    mathml = _mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="formula" tabindex="0">{mathml}</div>\n')
    raise SkipNode


def _mathml(tex: str, **options: bool) -> str:
    """Return a formula; docutils has the index of a letter with a bar stand below that letter."""
    ET.register_namespace("", _NAMESPACE)
    root = ET.fromstring(tex2mathml(tex, **options))
    for element in list(root.iter()):
        for i, child in enumerate(element):
            if _is(child, "munderover") and child[2].text in _ACCENTS:
                element[i] = _with_index(*child)
        if _is(element, "msup") and _is(element[0], "msub"):  # Z_l^T
            letter, index = element[0]
            element.tag = f"{{{_NAMESPACE}}}msubsup"
            element[:] = [letter, index, element[1]]
    return ET.tostring(root, encoding="unicode")


def _with_index(letter: ET.Element, index: ET.Element, accent: ET.Element) -> ET.Element:
    whole = ET.Element(f"{{{_NAMESPACE}}}msub")
    over = ET.SubElement(whole, f"{{{_NAMESPACE}}}mover")
    over.extend([letter, accent])
    whole.append(index)
    return whole


def _is(element: ET.Element, name: str) -> bool:
    return element.tag == f"{{{_NAMESPACE}}}{name}"


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True}
