"""`scratchrnn papers`: results of papers measured anew, in one table beside what was published."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..papers import adding, bifurcation, decay, lyapunov, temporal_order, wall
from ..papers.result import Result, table
from . import options, output


class Paper(NamedTuple):
    """How a paper's numbers are measured, compared and drawn."""

    measure: Callable[..., Any]  # measure(quick, progress) → whatever the other two take
    results: Callable[[Any], list[Result]] = list
    draw: Callable[[Any, Path], output.Files] | None = None
    save: Callable[[Any, Path], output.Files] | None = None
    seeds: bool = False  # whether measure takes a number of seeds


PAPERS = {
    "decay": Paper(decay.measure, decay.results, decay.draw),
    "wall": Paper(wall.measure, wall.results, wall.draw),
    "bifurcation": Paper(bifurcation.measure, bifurcation.results, bifurcation.draw),
    "lyapunov": Paper(lyapunov.measure, lyapunov.results, lyapunov.draw),
    "adding": Paper(adding.measure, adding.results),
    "temporal-order": Paper(
        temporal_order.measure, temporal_order.results, temporal_order.draw, temporal_order.keep, seeds=True
    ),
}
EPILOG = """\
Each is measured as the module of its name in scratchrnn/papers/ says, which also names its source. The exit code is 1
where one lies outside its tolerance, marked ✗. All take some minutes, most of them for temporal order, which trains
60 networks on two processes; --quick leaves out what is long.

examples:
  scratchrnn papers --quick
  scratchrnn papers wall bifurcation
  scratchrnn papers temporal-order --seeds 3
"""


def add(commands: Any) -> None:
    """Its options."""
    help = "reproduce results of papers beside what was published"
    parser = options.command(commands, "papers", run, help, epilog=EPILOG)
    parser.add_argument("paper", nargs="*", choices=[[], *PAPERS], metavar="NAME", help=f"any of {', '.join(PAPERS)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, half a minute in all")
    parser.add_argument("--seeds", type=options.count, metavar="N", help="runs of each setting of temporal-order")
    options.add_out(parser, "papers-output")
    options.add_quiet(parser)


def run(arguments: Namespace) -> int:
    """Measure, draw, and print one table at the end."""
    names = list(dict.fromkeys(arguments.paper or PAPERS))
    output.prepare(arguments.out, [f"{name}.{kind}" for name in names for kind in ("png", "json")])
    results: list[Result] = []
    files: output.Files = {}
    try:
        for name in names:
            paper = PAPERS[name]
            more = {"seeds": arguments.seeds} if paper.seeds and arguments.seeds else {}
            start = time.perf_counter()
            measured = paper.measure(arguments.quick, not arguments.quiet, **more)
            print(f"{name}: measured in {time.perf_counter() - start:.1f} s", flush=True)
            results += paper.results(measured)
            if paper.save is not None:
                files |= paper.save(measured, arguments.out)
            if paper.draw is not None:
                draw = partial(paper.draw, measured, arguments.out)
                files |= output.attempt(str(arguments.out / f"{name}.png"), draw) or {}
    finally:  # what is known, also after Ctrl-C
        if results:
            print(f"\n{table(results)}")
        if files:
            output.print_files(arguments.out, files)
    return 0 if all(result.ok for result in results) else 1
