"""What a network is, what it costs, and how exact it is."""

from __future__ import annotations

from laminet.analysis.check_jacobian import JacobianCheck, check_jacobian
from laminet.analysis.cost import Cost, LayerCost, cost
from laminet.analysis.error_bound import error_bound
from laminet.analysis.gradient_flow import GradientFlow, JacobianSpectrum, gradient_flow
from laminet.analysis.machine import Machine, machine
from laminet.analysis.precision import PrecisionComparison, PrecisionRow, compare_precision
from laminet.analysis.roofline import Roofline, roofline
from laminet.analysis.summary import Summary, summary

__all__ = [
    "Cost",
    "GradientFlow",
    "JacobianCheck",
    "JacobianSpectrum",
    "LayerCost",
    "Machine",
    "PrecisionComparison",
    "PrecisionRow",
    "Roofline",
    "Summary",
    "check_jacobian",
    "compare_precision",
    "cost",
    "error_bound",
    "gradient_flow",
    "machine",
    "roofline",
    "summary",
]
