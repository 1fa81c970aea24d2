"""What `import scratchrnn` loads and costs, and which way dependencies point."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import scratchrnn

PACKAGE = Path(scratchrnn.__file__).parent
HEAVY = {"numba", "llvmlite", "cupy", "matplotlib", "tqdm", "torch", "scipy"}

# From the ground up. A module imports from its own row and from those below it, in functions too. A name stands for
# what is inside it too, unless that has a row of its own; what is named nowhere stands above all of these.
ROWS: list[set[str]] = [
    {"_arrays", "_arguments", "_files", "_hints", "_numerics", "_progress"},
    {"backends.base", "backends.numba.threads", "backends.numba.workspace", "backends.numba.compile"},
    {"backends.numba.kernels"},
    {"backends"},  # the switch; the modules of a backend come later
    {"parameters", "backends.row_blocks"},
    {"gradients.clip", "gradients.flow", "layers", "losses", "_steps", "optimizers"},
    {"plots"},  # takes arrays, and asks of objects only what plots/protocols.py says
    {"_validation", "_summary", "gradients.saturation", "network"},
    {"backends.numba", "backends.cupy"},
    {"model"},
    {"gradients"},
    {"encoder_decoder", "training", "text", "sampling", "sequences", "checkpoint"},
    {"tasks"},
    {"papers"},
    {"cli", "__main__", ""},  # "" is the package itself
]


def module_name(path: Path) -> str:
    """backends/arrays.py → "backends.arrays"; backends/__init__.py → "backends"; the package itself is ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def row(module: str) -> int:
    """The row that a module, or the nearest package around it, stands in."""
    while module:
        for i, names in enumerate(ROWS):
            if module in names:
                return i
        module = module.rpartition(".")[0]
    return len(ROWS) - 1


def imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import statement, also in functions and under TYPE_CHECKING, but for those by which an object's `.plot()`
    asks for its picture."""
    drawing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("plot") and node.args.args
        if node.args.args[0].arg == "self"
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom) and inner.module == "plots"
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in drawing:
            yield node


def imported(module: str) -> set[str]:
    """Modules of this package that a module imports; with one inside a package also that package.

    A package that holds the importing module is loaded before it and does not count.
    """
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {
                alias.name.partition("scratchrnn.")[2] for alias in node.names if alias.name.startswith("scratchrnn")
            }
            continue
        if node.level == 0:
            if (node.module or "").partition(".")[0] != "scratchrnn":
                continue
            base = (node.module or "").split(".")[1:]
        else:
            around = [part for part in package if part]
            base = around[: len(around) - (node.level - 1)] + (node.module or "").split(".")
        base_name = ".".join(part for part in base if part)
        for alias in node.names:
            inside = f"{base_name}.{alias.name}".lstrip(".")
            found.add(inside if inside in MODULES else base_name)
    parents = {name.rsplit(".", i)[0] for name in found for i in range(1, name.count(".") + 1)}
    around_it = {module.rsplit(".", i)[0] for i in range(1, module.count(".") + 1)} | {""}
    loaded = {parent for parent in parents - around_it - {module} if imported(parent)}  # others are a docstring
    return found | loaded


def circles() -> list[list[str]]:
    """Modules that import one another, however far round: sorted(TopologicalSorter) names one circle at a time."""
    graph = {module: imported(module) - {module} for module in MODULES}
    found: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
            return found
        except CycleError as error:
            circle = error.args[1]
            found.append(circle)
            graph[circle[1]] = graph[circle[1]] - {circle[0]}


@pytest.mark.parametrize("module", MODULES)
def test_dependencies_point_one_way(module: str) -> None:
    above = {other for other in imported(module) if row(other) > row(module)}
    assert not above, f"{module} imports {', '.join(sorted(above))}, which stand above it"


def test_no_module_imports_itself_on_a_way_round() -> None:
    assert circles() == []


def test_the_switch_alone_imports_by_name() -> None:
    """What importlib loads is not seen by the rule above: the backends by the switch, and packages of others."""
    ours = [m for m, path in MODULES.items() if 'import_module(f"{__name__}' in path.read_text(encoding="utf-8")]
    named = [m for m, path in MODULES.items() if 'import_module("scratchrnn' in path.read_text(encoding="utf-8")]
    assert (ours, named) == (["backends"], [])


def test_the_rule_sees_what_is_imported() -> None:
    assert imported("layers.rnn") >= {"_arrays", "_numerics", "layers.recurrent", "layers.initializers"}
    assert {"_validation", "network", "backends", "layers.rnn"} <= imported("model")
    assert {"plots", "plots.style"} <= imported("papers.wall") | imported("plots.flow")
    assert "plots" not in imported("gradients.flow")
    assert (
        row("cli")
        > row("tasks.sine")
        > row("gradients.check.check")
        > row("model")
        > row("layers.rnn")
        > row("parameters")
        > row("backends")
        > row("_arrays")
    )


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.partition(".")[0] in ("layers", "losses", "network", "model")]
)
def test_the_mathematics_needs_numpy_alone(module: str) -> None:
    names = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    assert names - set(sys.stdlib_module_names) <= {"numpy"}


def test_importing_the_package_is_light() -> None:
    """It loads nothing heavy, and takes less than 0.25 s beyond numpy: the least of several processes."""
    code = (
        "import json, sys, time, numpy; start = time.perf_counter(); import scratchrnn; "
        "print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))"
    )
    seconds = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        taken, modules = json.loads(done.stdout)
        assert not HEAVY & {name.partition(".")[0] for name in modules}
        seconds.append(taken)
    print(f"import scratchrnn: {min(seconds):.3f} s beyond numpy")
    assert min(seconds) < 0.25


def test_gradients_leave_scipy_alone(tmp_path: Path) -> None:
    """Numba would import scipy.linalg, here a package that says so, to see whether it is there. It still does where
    compiled code calls BLAS."""
    linalg = tmp_path / "scipy" / "linalg"
    linalg.mkdir(parents=True)
    (linalg.parent / "__init__.py").write_text("__version__ = '1.0'")
    (linalg / "__init__.py").write_text("print('read')")
    (linalg / "cython_blas.py").touch()
    code = """if True:
        import numba, numpy as np, scratchrnn, sys
        model = scratchrnn.VanillaRNN(1, 3, 1, backend="numba")
        model.loss_and_grads(np.ones((2, 5, 1)), np.zeros((2, 5, 1)))
        print(sum("scipy.linalg" in name for name in sys.modules))
        numba.njit("float64(float64[::1], float64[::1])")(lambda a, b: np.dot(a, b))  # compiles, and never runs
        """
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "read"], done.stderr


def test_compiled_code_still_calls_blas() -> None:
    pytest.importorskip("scipy", reason="compiled code calls BLAS through SciPy, which is not installed")
    code = """if True:
        import numba, numpy as np, scratchrnn
        scratchrnn.VanillaRNN(1, 3, 1, backend="numba").loss(np.ones((2, 5, 1)), np.zeros((2, 5, 1)))
        f = numba.njit(lambda a, b: (np.dot(a, b), np.linalg.svd(a)[1]))
        print(*f(2 * np.eye(2), np.ones((2, 2)))[0].ravel(), *f(2 * np.eye(2), np.ones((2, 2)))[1])
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["2.0"] * 6, done.stderr


def test_public_names_are_documented() -> None:
    names = [name for name in vars(scratchrnn) if not name.startswith("_") and name not in MODULES]
    assert {"VanillaRNN", "SequenceModel", "RNN", "Linear", "clip_by_global_norm", "set_backend"} <= set(names)
    for name in names:
        assert (getattr(scratchrnn, name).__doc__ or "").strip(), f"{name} has no docstring"
