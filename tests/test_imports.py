"""What `import scratchrnn` loads and costs, and which way dependencies point."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import scratchrnn

PACKAGE = Path(scratchrnn.__file__).parent
HEAVY = {"numba", "llvmlite", "cupy", "matplotlib", "tqdm", "torch", "scipy"}

# From the ground up. A module imports from its own row and from those below it. A name stands for what is inside it
# too, unless that has a row of its own; what is named nowhere (training, history, plots, tasks, …) stands above all of
# these.
ROWS: list[set[str]] = [
    {"_numerics", "backends.arrays", "checks", "hints", "progress"},
    {"backends"},  # the switch, and where arrays live; what has twins comes later
    {"parameters"},
    {"gradients", "layers.initial"},
    {"layers", "losses", "steps", "optimizers"},
    {"backends.numba_twins", "backends.numba_layers", "door", "passes", "summary", "gradients.saturation"},
    {
        *("model", "gradients.check", "gradients.references", "gradients.observe", "gradients.maps"),
        *("gradients.spectrum", "gradients.omega", "gradients.lyapunov", "gradients.fixed_points"),
    },
]
TOP = {"cli", "__main__", ""}  # above even that; "" is the package itself


def module_name(path: Path) -> str:
    """backends/arrays.py → "backends.arrays"; backends/__init__.py → "backends"; the package itself is ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def row(module: str) -> int:
    """The row that a module, or the nearest package around it, stands in."""
    if module.partition(".")[0] in TOP:
        return len(ROWS) + 1
    while module:
        for i, names in enumerate(ROWS):
            if module in names:
                return i
        module = module.rpartition(".")[0]
    return len(ROWS)


def run_on_import(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run when the module is imported: not those inside functions or `if TYPE_CHECKING`."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from run_on_import(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for inner in ("body", "orelse", "finalbody"):
                yield from run_on_import(getattr(node, inner, []))
            for handler in getattr(node, "handlers", []):
                yield from run_on_import(handler.body)


def imported(module: str) -> set[str]:
    """Modules of this package that a module imports when it is imported itself."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in run_on_import(ast.parse(path.read_text(encoding="utf-8")).body):
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
    return found


@pytest.mark.parametrize("module", MODULES)
def test_dependencies_point_one_way(module: str) -> None:
    above = {other for other in imported(module) if row(other) > row(module)}
    assert not above, f"{module} imports {', '.join(sorted(above))}, which stand above it"


def test_the_rule_sees_what_is_imported() -> None:
    assert imported("layers.rnn") == {"backends.arrays", "gradients.clip"}
    assert {"layers.rnn", "layers.initial", "checks"} <= imported("layers.stack")
    assert {"door", "passes", "backends", "layers"} <= imported("model")
    assert (
        row("cli")
        > row("tasks.sine")
        > row("model")
        > row("layers.rnn")
        > row("layers.initial")
        > row("parameters")
        > row("backends.arrays")
    )


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.partition(".")[0] in ("layers", "losses", "passes", "model")]
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
