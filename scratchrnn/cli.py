"""The command `scratchrnn`: what its commands share, which is how they are read and how they fail.

Exit codes: 0 done; 1 a check or a training run failed, or an error (one line on standard error); 2 the command line is
wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .commands import bench, check, demo, flow, info, papers, sample, tasks, train
from .commands.options import Parser
from .commands.output import version

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
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks ∂ shows ? instead of failing
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    arguments: argparse.Namespace | None = None
    try:
        arguments = parser().parse_args(argv)
        if arguments.command is None:
            parser().print_help()
            return 0
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as leave:  # argparse's: --help, --version, or a command line that is wrong
        return leave.code if isinstance(leave.code, int) else 2
    except KeyboardInterrupt:
        print("scratchrnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has enough, as in `scratchrnn info | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ERRORS as error:
        if arguments is not None and arguments.traceback:
            raise
        print(f"scratchrnn: error: {one_line(error)}", file=sys.stderr)
        return 1


def one_line(error: BaseException) -> str:
    """What an exception says, on one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
