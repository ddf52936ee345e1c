"""What a network is, what it costs, and how exact it is."""

from __future__ import annotations

from laminet.analysis.cost import Cost, LayerCost, cost
from laminet.analysis.error_bound import error_bound
from laminet.analysis.machine import Machine, machine
from laminet.analysis.summary import summary

__all__ = ["Cost", "LayerCost", "Machine", "cost", "error_bound", "machine", "summary"]
