"""`python -m benchmarks`: measure, print tables, save JSON and charts. `scratchrnn bench` comes here too."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import process, scaling, steps, tracking
from .harness import ROOT, cores, save

BENCHMARKS = {"steps": steps, "process": process, "scaling": scaling, "tracking": tracking}


def main(argv: list[str] | None = None) -> int:
    """Run the chosen benchmarks one after the other; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"{', '.join(BENCHMARKS)}; all, if none")
    parser.add_argument("--quick", action="store_true", help="three minutes, not 35: fewer workloads and rounds")
    parser.add_argument("--threads", type=int, nargs="+", help="of the steps benchmark: 1 and 2, if none; quick: 2")
    parser.add_argument("--workloads", nargs="+", help="of the steps benchmark")
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"of the steps benchmark, where each side is in a process of its own: {steps.ROUNDS[False]}, if none; "
        f"quick: {steps.ROUNDS[True]}; 0 leaves that second way out",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench-output", help="folder for JSON and charts")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.benchmarks) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    if arguments.rounds is not None and arguments.rounds < 0:
        parser.error("--rounds must be at least 0")
    arguments.out.mkdir(parents=True, exist_ok=True)

    for name in arguments.benchmarks or BENCHMARKS:
        print(f"{name}: {(BENCHMARKS[name].__doc__ or '').partition(': ')[2].splitlines()[0]}", flush=True)
        if name == "steps":
            most = min(cores(), 2)
            threads = arguments.threads or ([most] if arguments.quick else range(1, most + 1))
            result = steps.run(
                quick=arguments.quick, threads=threads, names=arguments.workloads, rounds=arguments.rounds
            )
        else:
            result = BENCHMARKS[name].run(quick=arguments.quick)
        save(result, arguments.out / f"{name}.json")
        print(BENCHMARKS[name].table(result), flush=True)
        try:
            draw(name, result, arguments.out)
        except Exception as error:  # a picture that fails must not cost the benchmarks that are still to be run
            print(f"warning: {name}.png is not drawn: {error}", file=sys.stderr, flush=True)
        print(f"\nwritten to {arguments.out}/", flush=True)
    return 0


def draw(name: str, result: dict, out: Path) -> None:
    """The chart of a benchmark that has one."""
    from . import charts

    if name in charts.CHARTS:
        charts.CHARTS[name](result).savefig(out / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
