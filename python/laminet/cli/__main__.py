"""``python -m laminet.cli``: the command ``laminet`` where its script is not on the path."""

from __future__ import annotations

import sys

from laminet.cli import main

sys.exit(main())
