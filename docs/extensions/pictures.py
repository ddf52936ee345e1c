"""The directive ``picture``: Python that draws, and what it draws when the pages are built."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

_BLOCK = re.compile(r"^```(?:python|\{picture\})\n(?::.*\n)*((?:.*\n)*?)```$", re.MULTILINE)


class Picture(SphinxDirective):
    """Show the code and the figure that its last line gives.

    The page's blocks before it have run, in their order.
    """

    has_content = True
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012 - docutils has it so

    def run(self) -> list[nodes.Node]:
        """Return the code, then the picture inside the page, so that no file is made."""
        code = "\n".join(self.content)
        *before, last = code.rstrip().split("\n")
        with contextlib.redirect_stdout(io.StringIO()):
            names = self._names_before(code)
            exec("\n".join(before), names)
            figure = eval(last, names)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        data = base64.b64encode(file.getvalue()).decode()
        image = f'<img alt="{escape(self.options["alt"])}" src="data:image/svg+xml;base64,{data}">'
        block = nodes.literal_block(code, code, language="python")
        return [block, nodes.raw("", f'<p class="picture">{image}</p>', format="html")]

    def _names_before(self, code: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for block in _BLOCK.findall(Path(self.env.doc2path(self.env.docname)).read_text()):
            if block.strip() == code.strip():
                return names
            exec(block, names)
        raise self.error("this block is not found in its page")


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True}
