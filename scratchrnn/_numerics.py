"""Which of NumPy's floating-point errors the public functions of this package report.

Gradients that vanish and explode are what this package shows, so a number below the range of its dtype becomes a
subnormal number or 0 without a word, whatever `np.seterr` says. Compiled kernels do not report such errors either.

They are decorators. What they set holds on worker threads too, which copy their caller's context.
"""

from __future__ import annotations

import numpy as np

# For every public function that computes: an underflow says nothing.
expected_underflow = np.errstate(under="ignore")
# For functions that run a network. Where it explodes, inf and NaN come out, on every backend alike; `fit` names them.
any_magnitude = np.errstate(over="ignore", under="ignore", invalid="ignore")
