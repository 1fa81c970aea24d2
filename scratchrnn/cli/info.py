"""`scratchrnn info`: what is installed, what works, and why something does not."""

from __future__ import annotations

import os
import platform
import warnings
from argparse import Namespace
from importlib import metadata
from typing import Any

from .. import backends
from . import options, output

EPILOG = """\
The default backend is numba where it can compute, else numpy. To choose another: --backend on a command,
SCRATCHRNN_BACKEND in the environment, scratchrnn.set_backend in Python.
"""


def add(commands: Any) -> None:
    """It has no options."""
    options.command(commands, "info", run, "show versions and backends, and why one is missing", epilog=EPILOG)


def run(arguments: Namespace) -> int:
    """Print three short tables."""
    installed = metadata.packages_distributions()
    packages = ("scratchrnn", "numpy", "numba", "matplotlib", "tqdm", "cupy")
    print("versions")
    rows = [("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    output.print_table(rows + [(name, _version(installed.get(name, []))) for name in packages])
    print("\nprocessor")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rows = [("cores", f"{os.cpu_count()}, of which this process may use {usable}")]
    output.print_table([*rows, ("threads", f"{backends.get_num_threads()} for the numba backend")])
    print("\nbackends")
    output.print_table([*((name, _state(name)) for name in backends.NAMES), ("default", _default())])
    return 0


def _version(distributions: list[str]) -> str:
    """Versions of the distributions that bring a package; cupy has several, and two at once would be a mistake."""
    names = sorted(set(distributions))
    if len(names) == 1 and not names[0].startswith("cupy"):
        return metadata.version(names[0])
    return ", ".join(f"{metadata.version(name)} ({name})" for name in names) or "not installed"


def _state(name: str) -> str:
    reason = backends.unavailable_because(name)
    return "ready" if reason is None else f"not available: {reason}"


def _default() -> str:
    chosen = os.environ.get(backends.ENVIRONMENT_VARIABLE)
    by = f" (from {backends.ENVIRONMENT_VARIABLE})" if chosen else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the reason stands in the table
            name = backends.get_backend()
    except (ValueError, ImportError, RuntimeError) as error:
        return f"none: {error}{by}"
    if chosen in (None, "", "auto") and name == "numpy":
        return f"{name}, because numba is not available{by}"
    return name + by
