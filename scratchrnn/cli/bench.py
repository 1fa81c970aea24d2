"""`scratchrnn bench`: run the benchmarks of the checkout that this package was installed from."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from . import options, output

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ("steps", "process", "scaling", "tracking")
EPILOG = """\
benchmarks:
  steps     forward, forward + backward, whole update: seven networks beside PyTorch, JAX, Keras and a NumPy loop,
            whichever are installed; first all must agree on losses and gradients. Measured in two ways, in turns
            in one process and each in a process of its own; a ratio is the lower of the two
  process   whole programs: import, compile, train the chapter's sine; peak memory
  scaling   how cost grows with T, N and H
  tracking  what recording gradients costs an update

examples:
  scratchrnn bench --quick       three minutes instead of 35
  scratchrnn bench scaling       one of them
`make bench` installs the peers first. The benchmarks are part of a checkout, not of the installed package.
"""


def add(commands: Any) -> None:
    """Its options."""
    help = "measure speed and memory beside other libraries (needs a checkout)"
    parser = options.command(commands, "bench", run, help, epilog=EPILOG)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"{', '.join(NAMES)}; all, if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer networks, float32 only, few rounds")
    options.add_out(parser, "bench-output")
    parser.set_defaults(parser=parser)


def run(arguments: Namespace) -> int:
    """Hand over to `python -m benchmarks`; RuntimeError where there is no checkout."""
    unknown = [name for name in arguments.benchmarks if name not in NAMES]
    if unknown:
        arguments.parser.error(f"no benchmark {unknown[0]!r}; choose from {', '.join(NAMES)}")
    if not (ROOT / "benchmarks" / "steps.py").exists():
        raise RuntimeError(
            "the benchmarks are not part of the installed package; clone the repository and run `make bench` there"
        )
    output.prepare(arguments.out, [f"{name}.{kind}" for name in NAMES for kind in ("json", "png")])
    quick = ["--quick"] if arguments.quick else []
    command = [sys.executable, "-m", "benchmarks", *arguments.benchmarks, *quick, "--out", str(arguments.out.resolve())]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    code = subprocess.run(command, env={**os.environ, "PYTHONPATH": path, "MPLBACKEND": "agg"}).returncode
    return code if code >= 0 else 128 - code  # ended by a signal: as a shell says it
