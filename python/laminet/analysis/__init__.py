"""What a network is and what it costs, from its shapes alone."""

from __future__ import annotations

from laminet.analysis.cost import Cost, LayerCost, cost
from laminet.analysis.summary import summary

__all__ = ["Cost", "LayerCost", "cost", "summary"]
