"""Networks over files and tables that are larger than memory: `score`, and the engine under it."""

from laminet.scoring.tables import Scored, score

__all__ = ["Scored", "score"]
