"""Mutants: change the mathematics one token at a time, and see that some test fails for every change.

    make mutants

Each mutant is one small change (an operator, a constant, a dropped term, a dropped `.T`, a flipped comparison, …) in a
function or method of the layers, the network, the losses or the clipping. It is made in a temporary copy of the
package, never in the working tree, and the fast tests of that part run against it on the NumPy backend. A mutant that
no test notices has survived, and the run fails: either a test is too weak, or the change is no change and belongs in
EQUIVALENT with a reason.
"""

from __future__ import annotations

import argparse
import ast
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]


class Target(NamedTuple):
    """A module whose functions and methods are changed."""

    file: str
    tests: list[str]  # the tests that must notice, the quickest first
    only: tuple[str, ...] = ()  # names of the functions and methods that are changed; empty: all of them


# Not here is gradients/jacobians/products.py: its iteration corrects itself, so that a wrong turn or another order of
# rounds costs sweeps and changes no result. tests/gradients/jacobians/test_spectrum.py sees that a turn is right, that
# no round lacks a pair, that sweeps are few. Of backends/row_blocks.py, what decides speed alone is not here.
LAYER_TESTS = ["tests/layers/test_layers.py", "tests/test_model.py"]
OF_ROWS = ["tests/backends/test_row_blocks.py"]
OF_SATURATION = ["tests/training/test_flow_record.py", "tests/gradients/test_observe.py"]
TARGETS = [
    Target(
        "scratchrnn/network.py",
        ["tests/test_step.py", *OF_ROWS, "tests/test_model.py", "tests/layers/test_dropout.py", *OF_SATURATION],
    ),
    Target(
        "scratchrnn/_numerics.py",
        ["tests/gradients/test_clip.py", "tests/test_validation.py", "tests/layers/test_layers.py"],
    ),
    Target(
        "scratchrnn/_steps.py", ["tests/test_validation.py", *OF_ROWS, "tests/test_inputs.py", "tests/test_model.py"]
    ),
    Target("scratchrnn/layers/rnn.py", ["tests/layers/test_layers.py", *OF_SATURATION, "tests/test_model.py"]),
    Target("scratchrnn/layers/recurrent.py", ["tests/layers/test_layers.py", *OF_SATURATION, "tests/test_model.py"]),
    Target("scratchrnn/layers/layer_norm.py", LAYER_TESTS),
    Target("scratchrnn/layers/linear.py", LAYER_TESTS),
    Target("scratchrnn/layers/embedding.py", LAYER_TESTS),
    Target(
        "scratchrnn/layers/dropout.py",
        ["tests/layers/test_layers.py", "tests/layers/test_dropout.py", "tests/test_model.py"],
    ),
    Target("scratchrnn/layers/base.py", ["tests/test_validation.py", "tests/layers/test_dropout.py"]),
    Target("scratchrnn/layers/initializers.py", ["tests/layers/test_initializers.py"]),
    Target(
        "scratchrnn/backends/row_blocks.py",
        OF_ROWS,
        ("plan_forward", "max_rows", "map_rows"),
    ),
    Target(
        "scratchrnn/encoder_decoder.py",
        ["tests/test_encoder_decoder.py", "tests/test_copies.py", "tests/test_inputs.py"],
    ),
    Target("scratchrnn/gradients/omega.py", ["tests/gradients/test_omega.py"]),
    Target("scratchrnn/gradients/maps.py", ["tests/gradients/test_observe.py"]),
    Target("scratchrnn/losses.py", ["tests/test_losses.py", "tests/test_model.py"]),
    Target(
        "scratchrnn/_arguments.py",
        [
            "tests/gradients/test_clip.py",
            "tests/test_validation.py",
            "tests/layers/test_dropout.py",
            "tests/test_text.py",
        ],
    ),
    Target(
        "scratchrnn/gradients/clip.py",
        ["tests/gradients/test_clip.py", "tests/layers/test_layers.py", "tests/training/test_flow_record.py"],
    ),
    Target(
        "scratchrnn/gradients/flow.py",
        ["tests/gradients/test_observe.py", "tests/test_model.py", "tests/plots/test_flow.py"],
    ),
    Target("scratchrnn/training/flow_record.py", ["tests/training/test_flow_record.py"]),
    Target("scratchrnn/papers/wall.py", ["tests/papers/test_wall.py"]),
]

# Changes that change nothing: (file, change) and why.
EQUIVALENT: dict[tuple[str, str], str] = {
    ("scratchrnn/encoder_decoder.py", "T + self.length → (T)"): "NumPy computes all rows as one block",
    ("scratchrnn/encoder_decoder.py", "T + self.length → (self.length)"): "NumPy computes all rows as one block",
    ("scratchrnn/encoder_decoder.py", "T + self.length → T - self.length"): "NumPy computes all rows as one block",
    ("scratchrnn/encoder_decoder.py", "vectors[0] → vectors[1]"): "both models are on one backend",
    ("scratchrnn/gradients/maps.py", "O <= F → O < F"): "as many rows of R as of J",
    ("scratchrnn/gradients/maps.py", "[t] * len(seeds[part]) → ([t])"): "one step serves every seed",
    ("scratchrnn/gradients/maps.py", "a.ndim - 1 → ((1) - (a.ndim))"): "the same axis, counted from the end",
    ("scratchrnn/layers/rnn.py", "W_hh.shape[0] → W_hh.shape[1]"): "W_hh is square",
    ("scratchrnn/layers/initializers.py", "shape[0] → shape[1]"): "W_hh is square",
    (
        "scratchrnn/layers/initializers.py",
        "Q * np.sign(np.diag(R)) → Q / np.sign(np.diag(R))",
    ): "times a sign is divided by it",
    ("scratchrnn/losses.py", "xp.exp(z).sum(axis=-1) → xp.exp(z).sum(axis=(1))"): "z has two axes",
    ("scratchrnn/papers/wall.py", "1 / (1 + np.exp(-x)) - GOAL → ((GOAL) - (1 / (1 + np.exp(-x))))"): "it is squared",
    ("scratchrnn/papers/wall.py", "RATE * LIMIT → RATE / LIMIT"): "the limit is 1",
    ("scratchrnn/papers/wall.py", "RATE * LIMIT → (RATE)"): "the limit is 1",
    (
        "scratchrnn/_numerics.py",
        "xp.where((largest > 0) & (largest < np.inf), largest, 1.0) → "
        "xp.where((largest > 0) & (largest < np.inf), largest, 2.0)",
    ): "any number scales 0 and inf to themselves",
    (
        "scratchrnn/gradients/omega.py",
        "xp.where(reached, norms, 1) → xp.where(reached, norms, 2)",
    ): "∂L/∂a is 0 where no gradient arrives",
    (
        "scratchrnn/gradients/omega.py",
        "xp.where(rho == 0, 1, rho) → xp.where(rho == 0, 2, rho)",
    ): "z is 0 where ρ is",
}

TIMEOUT = 300.0  # seconds; a mutant may loop for ever, and the machine may be busy
MAX_KILLERS = 8  # tests that run before all others, because they failed on the mutants before
# Without the settings of setup.cfg and without plugins: a mutant costs little more than importing numpy.
PYTEST = ["-m", "pytest", "-x", "-q", "--tb=no", "--no-header", "-rfE", "-o", "addopts="]
PYTEST += ["--import-mode=importlib"]
PYTEST += ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-m", "not slow"]
# What trains sees little that others do not see sooner.
PYTEST += ["-k", "not numba and not pytorch and not learns"]


class Mutant(NamedTuple):
    """One change of one file."""

    file: str
    line: int
    change: str  # "before → after"
    text: str  # the whole changed file
    tests: list[str]


class Source:
    """A file's text with its syntax tree, and changes as replaced stretches of that text."""

    def __init__(self, text: str) -> None:
        self.bytes = text.encode()  # the tree counts columns in bytes
        self.tree = ast.parse(text)
        self.starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node: ast.expr | ast.stmt) -> str:
        return self.bytes[self.start(node) : self.end(node)].decode()

    def between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> tuple[int, int, str]:
        """The operator between two operands, replaced."""
        start, end = self.end(left), self.start(right)
        return start, end, self.bytes[start:end].decode().replace(old, new, 1)


OPERATORS: dict[type, tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
COMPARISONS: dict[type, list[tuple[str, str]]] = {
    ast.Lt: [("<", "<="), ("<", ">")],
    ast.LtE: [("<=", "<"), ("<=", ">=")],
    ast.Gt: [(">", ">="), (">", "<")],
    ast.GtE: [(">=", ">"), (">=", "<=")],
    ast.Eq: [("==", "!=")],
    ast.NotEq: [("!=", "==")],
    ast.Is: [("is", "is not")],
    ast.IsNot: [("is not", "is")],
}
METHODS = {"max": "min", "min": "max", "sum": "mean", "any": "all", "all": "any"}


def changes(source: Source, node: ast.AST) -> Iterator[tuple[int, int, str]]:
    """All changes at one node, as (start, end, replacement)."""

    def whole(text: str) -> tuple[int, int, str]:
        assert isinstance(node, (ast.expr, ast.stmt))
        return source.start(node), source.end(node), text

    if isinstance(node, ast.BinOp):
        left, right, kind = source.of(node.left), source.of(node.right), type(node.op)
        if kind in OPERATORS:
            yield source.between(node.left, node.right, *OPERATORS[kind])
        if kind in (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr):
            yield whole(f"({left})")
        if kind in (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr):
            yield whole(f"({right})")
        if kind in (ast.Sub, ast.Div, ast.MatMult):
            operator = {ast.Sub: "-", ast.Div: "/", ast.MatMult: "@"}[kind]
            yield whole(f"(({right}) {operator} ({left}))")
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for old, new in COMPARISONS.get(type(node.ops[0]), []):
            yield source.between(node.left, node.comparators[0], old, new)
    elif isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        yield source.between(node.values[0], node.values[1], old, new)
    elif isinstance(node, ast.UnaryOp):
        yield whole(f"({source.of(node.operand)})")
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        yield whole(str(node.value + 1))
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield whole(source.of(node.value))
    elif isinstance(node, ast.Call):
        yield from changes_of_call(source, node)
    elif isinstance(node, ast.AugAssign):
        old, new = OPERATORS[type(node.op)]
        yield source.between(node.target, node.value, old + "=", new + "=")
        yield whole("pass")
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript) or isinstance(node, ast.Raise):
        yield whole("pass")


def changes_of_call(source: Source, node: ast.Call) -> Iterator[tuple[int, int, str]]:
    """Calls: drop `reversed` and elementwise functions, swap the branches of `where`, max for min, mean for sum."""
    function, span = node.func, (source.start(node), source.end(node))
    arguments = [source.of(a) for a in node.args]
    if isinstance(function, ast.Name) and function.id == "reversed":
        yield *span, arguments[0]
    if not isinstance(function, ast.Attribute):
        return
    elementwise = function.attr in ("tanh", "exp", "log", "sqrt", "abs", "clip", "isfinite")
    if elementwise and arguments:
        yield *span, arguments[0]
    if function.attr == "where":
        yield *span, f"{source.of(function)}({arguments[0]}, {arguments[2]}, {arguments[1]})"
        yield *span, arguments[1]
    if function.attr in METHODS:
        end = source.end(function)
        yield end - len(function.attr), end, METHODS[function.attr]


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions of a module and the methods of its classes."""
    for statement in tree.body:
        for function in statement.body if isinstance(statement, ast.ClassDef) else [statement]:
            if isinstance(function, ast.FunctionDef):
                yield function


def mutants_of(target: Target) -> Iterator[Mutant]:
    """Every mutant of the functions of a module."""
    file, tests, only = target
    source = Source((ROOT / file).read_text(encoding="utf-8"))
    for function in functions_of(source.tree):
        if only and function.name not in only:
            continue
        body = function.body[1:] if ast.get_docstring(function) else function.body
        nodes = [inner for statement in body for inner in ast.walk(statement)]
        parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(parents[node], ast.UnaryOp):
                continue  # −1 becomes 1, but not −2
            for start, end, replacement in changes(source, node):
                text = (source.bytes[:start] + replacement.encode() + source.bytes[end:]).decode()
                compile(text, file, "exec")
                shown = surroundings(node, parents)
                first, last = source.start(shown), source.end(shown)
                after = (source.bytes[first:start] + replacement.encode() + source.bytes[end:last]).decode()
                yield Mutant(file, shown.lineno, " ".join(f"{source.of(shown)} → {after}".split()), text, tests)


def surroundings(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.expr | ast.stmt:
    """The expression to show a change in: that of the node itself, or the next one around a lone constant or name."""
    small = (ast.Constant, ast.Name, ast.UnaryOp, ast.Attribute, ast.Tuple, ast.Slice, ast.keyword)
    while isinstance(node, small) and node in parents:
        node = parents[node]
    assert isinstance(node, (ast.expr, ast.stmt))
    return node


class Workplace:
    """A copy of the package and its tests in which one mutant at a time is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.killers: dict[str, list[str]] = {}  # of each file: tests that failed on its mutants, the last one first
        for name in ("scratchrnn", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "setup.cfg", folder)

    def start(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python on this copy."""
        environment |= {"PYTHONPATH": str(self.folder), "SCRATCHRNN_BACKEND": "numpy"}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    def warm_up(self, files: Sequence[str]) -> None:
        """These tests pass on the copy as it is, from the copy; what they compiled serves the mutants."""
        where = self.start("-c", "import scratchrnn; print(scratchrnn.__file__)").stdout.strip()
        if not Path(where).is_relative_to(self.folder):
            sys.exit(f"the tests would run against {where}, not against the copy")
        for tests in files:
            done = self.start(*PYTEST, tests)
            if done.returncode:
                sys.exit(f"the tests fail without any mutant:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        for file, *_ in TARGETS:  # two versions of a file within a second would share one compiled form
            for compiled in (self.folder / file).parent.glob(f"__pycache__/{Path(file).stem}.*"):
                compiled.unlink()

    def killer(self, mutant: Mutant) -> str | None:
        """The first test that fails on the mutant; None when it survives."""
        path = self.folder / mutant.file
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.text, encoding="utf-8")
        killers = self.killers.setdefault(mutant.file, [])
        try:
            for tests in [killers[:MAX_KILLERS], *([file] for file in mutant.tests)]:
                if not tests:
                    continue
                done = self.start(*PYTEST, *tests, PYTHONDONTWRITEBYTECODE="1")
                failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
                if failed:
                    killer = failed.group(1)
                    if "::" in killer:  # not a file that cannot be imported
                        killers[:] = [killer, *(other for other in killers if other != killer)]
                    return killer.removeprefix("tests/")
                if done.returncode:
                    sys.exit(f"pytest names no test and ends with {done.returncode}:\n{done.stdout}{done.stderr}")
            return None
        except subprocess.TimeoutExpired:
            return f"no end within {TIMEOUT:.0f} s"
        finally:
            path.write_text(original, encoding="utf-8")


def main() -> int:
    """Make every mutant, print what killed each; 1 if any survives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", help="a pattern (regular expression) that 'file:line change' of a mutant contains"
    )
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: %(default)s)"
    )
    options = parser.parse_args()

    mutants = [mutant for target in TARGETS for mutant in mutants_of(target)]
    for file, change in EQUIVALENT:
        if sum((m.file, m.change) == (file, change) for m in mutants) != 1:
            sys.exit(f"EQUIVALENT should name one mutant of {file}: {change}")
    mutants = [m for m in mutants if (m.file, m.change) not in EQUIVALENT]
    mutants = [m for m in mutants if re.search(options.only, f"{m.file}:{m.line} {m.change}")]

    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        idle: queue.SimpleQueue[Workplace] = queue.SimpleQueue()
        workplaces = [Workplace(Path(folder).resolve() / str(i)) for i in range(options.jobs)]
        tests = sorted({tests for mutant in mutants for tests in mutant.tests})
        list(pool.map(lambda workplace: workplace.warm_up(tests), workplaces))
        for workplace in workplaces:
            idle.put(workplace)

        def judge(mutant: Mutant) -> str | None:
            workplace = idle.get()
            try:
                killer = workplace.killer(mutant)
                if killer is None:
                    tqdm.write(f"survived: {mutant.file}:{mutant.line} {mutant.change}")
                return killer
            finally:
                idle.put(workplace)

        killers = list(tqdm(pool.map(judge, mutants), total=len(mutants), unit="mutant", desc="mutants"))

    for mutant, killer in zip(mutants, killers, strict=True):
        where = f"{mutant.file.removeprefix('scratchrnn/')}:{mutant.line}"
        print(f"{where:<22} {shorten(mutant.change, 78):<78} {killer or 'SURVIVED'}")
    for (file, change), reason in EQUIVALENT.items():
        print(f"{file.removeprefix('scratchrnn/'):<22} {shorten(change, 78):<78} no change: {reason}")
    survived = killers.count(None)
    print(
        f"{len(mutants)} mutants, {len(mutants) - survived} killed, {survived} survived, "
        f"{len(EQUIVALENT)} equivalent; {time.perf_counter() - begun:.0f} s"
    )
    return 1 if survived else 0


def shorten(text: str, width: int) -> str:
    """At most width characters, the middle left out."""
    half = (width - 3) // 2
    return text if len(text) <= width else f"{text[:half]} … {text[-half:]}"


if __name__ == "__main__":
    sys.exit(main())
