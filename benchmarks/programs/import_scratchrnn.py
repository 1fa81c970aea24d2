"""What every program of scratchrnn pays first: the import, and Numba's with the first model."""

import scratchrnn as sr

sr.VanillaRNN(1, 32, 1, dtype="float32")
