"""The command `scratchrnn`: what its commands share, which is how they are read and how they fail.

Exit codes: 0 done; 1 a check or a training run failed, or an error (one line on standard error); 2 the command line is
wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TextIO

from . import bench, check, demo, info, papers, sample, tasks, train
from .flow import command as flow
from .options import Parser
from .output import one_line, tell, version

COMMANDS = (demo, train, sample, check, flow, tasks, papers, bench, info)
# What the library raises for what its user did; --traceback shows where. Anything else keeps its traceback.
ERRORS = (ValueError, TypeError, IndexError, OSError, ImportError, RuntimeError, FloatingPointError, MemoryError)

DESCRIPTION = "Recurrent networks from scratch: trained by hand-written BPTT, with gradients checked and visible."
EPILOG = """\
start here:
  scratchrnn demo                           train on the chapter's sine wave, write three pictures
  scratchrnn flow                           see gradients vanish and explode
  scratchrnn train text --file book.txt     learn a text, character by character
  scratchrnn sample --prompt "To be"        and let it write on
  scratchrnn train --help                   every command explains itself
"""


def parser() -> Parser:
    """The whole command line."""
    main = Parser(prog="scratchrnn", description=DESCRIPTION, epilog=EPILOG)
    main.add_argument("--version", action="version", version=f"scratchrnn {version()}")
    main.add_argument("--traceback", action="store_true", help="show where an error came from, not only what it is")
    commands = main.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in COMMANDS:
        command.add(commands)
    return main


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (None: that of the process) and return its exit code."""
    if argv is None:
        # Pictures are saved, never shown. A notebook hands its own choice of windows down to its commands, and that may
        # name what is not installed here.
        os.environ["MPLBACKEND"] = "agg"
    with _streams():
        code = _run(argv)
        for stream in (sys.stdout, sys.stderr):  # here, since Python's own last flush can only fail with a traceback
            try:
                stream.flush()
            except BrokenPipeError:
                _silence(stream)
            except OSError as error:
                _silence(stream)
                tell(f"scratchrnn: error: cannot write what is printed: {one_line(error)}")
                code = code or 1
        return code


def _run(argv: Sequence[str] | None) -> int:
    """Run a command line; every exception that a user can cause becomes a line on standard error and an exit code."""
    arguments: argparse.Namespace | None = None
    try:
        arguments = parser().parse_args(argv)
        if arguments.command is None:
            parser().print_help()
            return 0
        return arguments.run(arguments)
    except SystemExit as leave:  # argparse's: --help, --version, or a command line that is wrong
        return leave.code if isinstance(leave.code, int) else 2
    except KeyboardInterrupt:
        tell("scratchrnn: interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has enough, as in `scratchrnn info | head -1`
        _silence(sys.stdout)
        return 0
    except ERRORS as error:
        if arguments is not None and arguments.traceback:
            raise
        tell(f"scratchrnn: error: {one_line(error)}")
        return 1


@contextmanager
def _streams() -> Iterator[None]:
    """Standard output and standard error that can be written to, whatever the process was started with.

    A character that the terminal lacks becomes "?". A stream that is closed (None, as after `>&-`) is replaced by one
    that goes nowhere, until the command is over.
    """
    with ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
                stack.callback(setattr, sys, name, None)
            else:
                getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
        yield


def _silence(stream: TextIO) -> None:
    """Send what is still to be written to a stream nowhere, where it has a file descriptor."""
    with suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
