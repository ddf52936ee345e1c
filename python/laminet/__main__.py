"""``python -m laminet``: the command ``laminet`` where its script is not on the path."""

from __future__ import annotations

from laminet.cli import command

if __name__ == "__main__":
    command()
