"""Writes osuleaf.npz: outlines of leaves of six species as series, from the package sktime.

pip install sktime
python benchmarks/series.py osuleaf.npz
archwalk fit osuleaf.npz --minutes 10 --out runs/leaves
"""

from __future__ import annotations

import sys

import numpy as np
from sktime.datasets import load_osuleaf

series, labels = load_osuleaf(
    return_type="numpy3d"
)  # [442, 1, 427]: distances of the outline from the centre
np.savez(sys.argv[1], series=series.astype(np.float32), labels=labels.astype(np.int64))
