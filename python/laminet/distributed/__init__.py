"""Training on the workers of a cluster: each holds its rows, and every step is made by all.

Needs ``dask.distributed`` (``pip install 'laminet[dask]'``).
"""

from __future__ import annotations

from laminet.distributed.fitting import fit

__all__ = ["fit"]
