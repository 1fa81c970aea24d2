"""`python -m scratchrnn` is the command `scratchrnn`."""

import sys

from .cli import main

sys.exit(main())
