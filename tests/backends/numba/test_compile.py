"""The cache of compiled kernels on disk: when it is cold, warm, damaged, out of date, full, gone or shared.

Whatever happens to it, a child process computes the right numbers and exits with 0, having warned once at most. The
faults are real ones: files are cut short and overwritten, writing is forbidden or limited by the system. Most children
compile the smallest kernel in one dtype, which takes a second; the slow tests compile the whole network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import scratchrnn
from scratchrnn.backends.numba import compile as numba_compile

PACKAGE = Path(scratchrnn.__file__).resolve().parent

CHILD = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np
    import scratchrnn as sr
    from scratchrnn.backends.numba.norms import vector_norm as norm  # without the trial of the whole backend
    {between}
    for dtype in {dtypes}:
        {compute}
print(json.dumps([y, [[w.category.__name__, str(w.message)] for w in caught]]))
"""
NORM = "y = norm(np.array([3, 4], dtype))"
NETWORK = """
        y = []
        for backend in ("numba", "numpy"):
            model = sr.VanillaRNN(2, 3, 2, backend=backend, dtype=dtype)
            r = model.loss_and_grads(np.ones((2, 4, 2)), np.zeros((2, 4, 2)))
            y.append([r.loss, *r.grads.vector.tolist()])
"""


class Outcome(NamedTuple):
    """What a child process did besides computing the right numbers."""

    warnings: list[str]
    announced: list[str]  # what it compiled, line by line

    @property
    def quiet(self) -> bool:
        """All came from the cache, and nothing was wrong with it."""
        return not self.warnings and not self.announced


class Child(NamedTuple):
    """A process that computes with some cache."""

    cache: Path
    between: str = "pass"  # what happens between import and first call
    dtypes: tuple[str, ...] = ("float32",)  # computed in one after the other
    compute: str = NORM
    package: Path = PACKAGE
    answer: Any = 5  # None: there are two, which agree

    def start(self, **variables: str) -> subprocess.Popen[str]:
        """The running process."""
        script = CHILD.format(between=self.between.strip(), dtypes=self.dtypes, compute=self.compute.strip())
        return subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **self.surroundings(**variables),
        )

    def surroundings(self, **variables: str) -> dict[str, Any]:
        """Its environment, and the folder it runs in, from which it could import another copy of the package."""
        home = self.package.parent
        env = {"PYTHONPATH": str(home), "NUMBA_CACHE_DIR": str(self.cache), **variables}
        return {"env": {**os.environ, **env}, "cwd": home if home.is_dir() else home.parent}

    def finish(self, process: subprocess.Popen[str]) -> Outcome:
        """Wait for it. It must have computed, warned once at most, and printed nothing but what it compiles."""
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        y, caught = json.loads(stdout)
        if self.answer is not None:
            assert y == self.answer
        else:
            assert y[0] == pytest.approx(y[1], rel=1e-5, abs=1e-7)
        assert len(caught) <= 1, caught
        for category, message in caught:
            assert category == "RuntimeWarning" and message.startswith("the cache of compiled kernels does not work")
        lines = stderr.splitlines()
        assert all(line.startswith("scratchrnn: compiling Numba kernels for float") for line in lines), stderr
        return Outcome([message for _, message in caught], lines)

    def run(self, **variables: str) -> Outcome:
        """Start it, with environment variables, and finish it."""
        return self.finish(self.start(**variables))


def network(cache: Path, **options: Any) -> Child:
    """A child that computes the loss and gradients of a network."""
    return Child(cache, compute=NETWORK, answer=None, **options)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the norm in both dtypes. To be copied."""
    cache = tmp_path_factory.mktemp("warm")
    outcome = Child(cache, dtypes=("float64", "float32")).run()
    first, second = outcome.announced
    assert "for float64" in first and "for float32" in second and not outcome.warnings
    return cache


@pytest.fixture
def cache(warm: Path, tmp_path: Path) -> Path:
    """A copy of the warm cache."""
    return shutil.copytree(warm, tmp_path / "cache")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    return shutil.copytree(PACKAGE, tmp_path / "copy" / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))


# Cold and warm.


def test_each_dtype_announces_itself_once(cache: Path) -> None:
    """In one line, at the first compile (see `warm`); once cached, never again."""
    assert Child(cache, dtypes=("float64", "float32")).run().quiet


# Damaged.


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_bytes(np.random.default_rng(file.stat().st_size).bytes(file.stat().st_size))


def removed(file: Path) -> None:
    file.unlink()


damages = pytest.mark.parametrize("damage", [cut_short, empty, garbage, removed])
suffixes = pytest.mark.parametrize("suffix", ["nbi", "nbc"])  # numba's index files, and its data files


def damage_all(cache: Path, suffix: str, damage: Callable[[Path], None]) -> None:
    files = list(cache.rglob(f"*.{suffix}"))
    assert files
    for file in files:
        damage(file)


@suffixes
@damages
def test_damaged(damage: Callable[[Path], None], suffix: str, cache: Path) -> None:
    damage_all(cache, suffix, damage)
    assert Child(cache).run().announced


def test_files_of_another_dtype(cache: Path) -> None:
    """As two processes leave them that chose a name at once: the index promises one dtype, the file holds another."""
    (first,) = cache.rglob("*.1.nbc")
    second = first.with_name(first.name.replace(".1.nbc", ".2.nbc"))
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    assert Child(cache).run().announced
    assert Child(cache).run().quiet


# Out of date. A kernel of one line stands for those of the package, of which a change must be seen as well.

TINY = """
from scratchrnn.backends.numba import compile as numba_compile
def _sum(a):
    return {result}
kernel = numba_compile.kernel(_sum)
"""


class Tiny:
    """A kernel in a file of its own, which can be edited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.answer = 0

    def edit(self, result: str, answer: int) -> None:
        """Let it compute something else of three ones."""
        (self.folder / "tiny.py").write_text(TINY.format(result=result))
        self.answer = answer

    def child(self, **options: Any) -> Child:
        """A process that calls it."""
        compute = f"import sys; sys.path.insert(0, {str(self.folder)!r}); import tiny; "
        return Child(self.cache, compute=compute + "y = tiny.kernel(np.ones(3, dtype))", answer=self.answer, **options)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """It adds up; a process has put that into the cache."""
    tiny = Tiny(tmp_path)
    tiny.edit("a.sum()", 3)
    assert not tiny.child().run().warnings
    assert list(tiny.cache.rglob("tiny.*.nbc"))
    return tiny


def test_out_of_date(tiny: Tiny) -> None:
    tiny.edit("a.sum() * 2", 6)
    for _ in range(2):
        assert not tiny.child().run().warnings


EDITS = """
import json, os
from pathlib import Path
import numpy as np
from scratchrnn.backends.numba import compile as numba_compile
from scratchrnn.backends.numba.kernels.norms import _norm, whole_norm

whole_norm(np.ones(2, "float32"))
(signature,) = whole_norm.overloads

def loads():
    numba_compile.sources_digest.cache_clear()
    return numba_compile.disk_cache(_norm).load_overload(signature, whole_norm.targetctx) is not None

found = {}
home = Path(numba_compile.__file__)
for file in [home, *sorted((home.parent / "kernels").glob("*.py"))]:
    source, times = file.read_bytes(), file.stat()
    before = loads()
    file.write_bytes(source + b"# one line more\\n")
    found[file.name] = before, loads()
    file.write_bytes(source)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
print(json.dumps(found))
"""


def test_a_change_of_any_kernel_file_is_noticed(package: Path, tmp_path: Path) -> None:
    """By a kernel of another file too: Numba by itself looks at the kernel's own file."""
    child = Child(tmp_path / "cache", package=package)
    done = subprocess.run([sys.executable, "-c", EDITS], capture_output=True, text=True, **child.surroundings())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    files = {"compile.py", *(path.name for path in (PACKAGE / "backends" / "numba" / "kernels").glob("*.py"))}
    assert set(found) == files and {"gemm.py", "norms.py", "rnn.py"} < files
    assert found == dict.fromkeys(files, [True, False])


FEW_STATES = """
        from scratchrnn.backends.numba.kernels.rnn import few_states
        h, one = np.zeros((2, 1, 1), dtype), np.ones((1, 1, 1), dtype)
        few_states(h, one, None, one[0], one[0], h[0, 0], 0)
        y = float(h[1, 0, 0])
"""


def test_an_edited_helper_in_another_file_compiles_anew(package: Path, tmp_path: Path) -> None:
    """h_1 = W_xh · x_1 in a kernel of rnn.py, whose scalar product stands in linear.py."""
    child = Child(tmp_path / "cache", package=package, compute=FEW_STATES, answer=1)
    assert child.run().announced and child.run().quiet
    file = package / "backends" / "numba" / "kernels" / "linear.py"
    source = file.read_text(encoding="utf-8")
    assert source.count("    total = a[0] * b[0]") == 1
    file.write_text(source.replace("    total = a[0] * b[0]", "    total = 3 * a[0] * b[0]"), encoding="utf-8")
    child = child._replace(answer=3)
    outcome = child.run()
    assert outcome.announced and not outcome.warnings
    assert child.run().quiet


def test_a_package_in_a_zip_file(package: Path, tmp_path: Path) -> None:
    """Its sources are read through its loader. Numba then has the cache in the user's home, if it has one at all."""
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", package.parent))
    child = Child(tmp_path / "cache", package=archive / PACKAGE.name)
    homes = {name: str(tmp_path / "home") for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "USERPROFILE")}
    outcome = child.run(**homes)
    assert outcome.announced
    again = child.run(**homes)
    assert again.warnings == outcome.warnings and bool(again.announced) == bool(outcome.warnings)


def test_without_sources_there_is_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only bytecode is there: nothing could tell old code from new."""
    (tmp_path / "kernels").mkdir()
    numba_compile.sources_digest.cache_clear()
    monkeypatch.setattr(numba_compile, "files", lambda package: tmp_path)
    monkeypatch.setattr(numba_compile, "_warned", False)
    with pytest.warns(RuntimeWarning, match="the kernels have no source files"):
        twice = numba_compile.kernel(lambda a: 2 * a)
    assert twice(3) == 6


# Full.

LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, resource.RLIM_INFINITY))"
NO_ROOM, LITTLE_ROOM = LIMIT.format(bytes=0), LIMIT.format(bytes=3000)  # not even an index; an index, but no code
posix = pytest.mark.skipif(os.name != "posix", reason="no limit on the size of files here")


@posix
@pytest.mark.parametrize("limit", [NO_ROOM, LITTLE_ROOM], ids=["no room", "little room"])
def test_full(limit: str, tmp_path: Path) -> None:
    """Files can't grow, as on a full disk. Once there is room again all is well."""
    assert "File too large" in Child(tmp_path, between=limit).run().warnings[0]
    outcome = Child(tmp_path).run()
    assert outcome.announced and not outcome.warnings
    assert Child(tmp_path).run().quiet


@posix
def test_full_and_out_of_date(tiny: Tiny) -> None:
    """An index is written that is up to date, and the code to go with it is not: the old code must not pass for it."""
    tiny.edit("a.sum() * 2", 6)
    assert tiny.child(between=LITTLE_ROOM).run().warnings
    assert not tiny.child().run().warnings
    assert not tiny.child().run().warnings


def test_out_of_date_and_killed(tiny: Tiny) -> None:
    """As above, by a process that ends between the two."""
    tiny.edit("a.sum() * 2", 6)
    end = "import os; from numba.core import caching; caching.IndexDataCacheFile._save_data = lambda *_: os._exit(3)"
    with tiny.child(between=end).start() as process:
        assert process.wait(timeout=120) == 3
    assert not tiny.child().run().warnings


# Not there, or not to be written to.

# Root may write anywhere; without its capabilities it may not.
READ_ONLY = """
    import ctypes, os, sys, tempfile
    if sys.platform == "linux":
        ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)())
    for folder, _, _ in os.walk({cache!r}):
        os.chmod(folder, 0o555)
        try:
            tempfile.TemporaryFile(dir=folder)
        except PermissionError:
            continue
        raise AssertionError("it can be written to")
"""


@pytest.fixture
def writable_again(tmp_path: Path) -> Iterator[None]:
    """So that pytest can clear up."""
    yield
    for folder, _, _ in os.walk(tmp_path):
        os.chmod(folder, 0o755)


@pytest.mark.skipif(
    os.name != "posix" or (sys.platform != "linux" and os.geteuid() == 0), reason="cannot make a folder read-only here"
)
@pytest.mark.usefixtures("writable_again")
def test_read_only_from_the_first_call_on(tmp_path: Path) -> None:
    outcome = Child(tmp_path, between=READ_ONLY.format(cache=str(tmp_path)).strip()).run()
    assert "PermissionError" in outcome.warnings[0]


def test_gone_before_the_first_call(tmp_path: Path) -> None:
    Child(tmp_path / "cache", between=f"import shutil; shutil.rmtree({str(tmp_path / 'cache')!r})").run()


def test_a_file_in_its_place_before_the_first_call(tmp_path: Path) -> None:
    place = str(tmp_path / "cache")
    gone = f"import shutil; shutil.rmtree({place!r}); open({place!r}, 'w').close()"
    assert Child(tmp_path / "cache", between=gone).run().warnings


def test_no_place_for_it_at_all(package: Path, tmp_path: Path) -> None:
    """Neither where NUMBA_CACHE_DIR says, nor beside the package, nor in the user's home: a file is in the way."""
    file = tmp_path / "file"
    file.touch()
    child = Child(file / "cache", package=package)
    elsewhere = child.run()
    assert not elsewhere.warnings and list(package.rglob("*.nbc"))  # beside the package

    beside = package / "backends" / "numba" / "kernels" / "__pycache__"
    shutil.rmtree(beside)
    beside.touch()
    homeless = {name: str(file / "home") for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "USERPROFILE")}
    outcome = child.run(**homeless)
    assert "no locator available" in outcome.warnings[0] and outcome.announced


# Shared.


@pytest.mark.parametrize(
    "dtypes", [("float32", "float64"), pytest.param(("float32", "float32"), marks=pytest.mark.slow)], ids="-".join
)
def test_two_processes_compile_at_once(dtypes: tuple[str, str], tmp_path: Path) -> None:
    children = [Child(tmp_path, dtypes=(dtype,)) for dtype in dtypes]
    running = [child.start() for child in children]
    for child, process in zip(children, running, strict=True):
        assert not child.finish(process).warnings
    Child(tmp_path, dtypes=dtypes).run()  # if they overwrote each other's files, this sets it right
    assert Child(tmp_path, dtypes=dtypes).run().quiet


# The same with all kernels of a network.


@pytest.mark.slow
def test_network_compiled_by_two_processes_at_once(tmp_path: Path) -> None:
    children = [network(tmp_path, dtypes=(dtype,)) for dtype in ("float32", "float64")]
    running = [child.start() for child in children]
    for child, process in zip(children, running, strict=True):
        child.finish(process)
    for child in children:
        child.run()
    for child in children:
        assert child.run().quiet


@pytest.fixture(scope="module")
def warm_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds what a network needs in float32. To be copied."""
    cache = tmp_path_factory.mktemp("network")
    network(cache).run()
    assert network(cache).run().quiet
    return cache


@pytest.mark.slow
@suffixes
@damages
def test_network_with_a_damaged_cache(
    damage: Callable[[Path], None], suffix: str, warm_network: Path, tmp_path: Path
) -> None:
    """The damage costs a compile, and is gone after it."""
    cache = shutil.copytree(warm_network, tmp_path / "cache")
    damage_all(cache, suffix, damage)
    assert network(cache).run().announced
    assert network(cache).run().quiet


@pytest.mark.slow
@posix
@pytest.mark.parametrize("limit", [NO_ROOM, LITTLE_ROOM], ids=["no room", "little room"])
def test_network_without_room_for_a_cache(limit: str, tmp_path: Path) -> None:
    assert network(tmp_path, between=limit).run().warnings
    outcome = network(tmp_path).run()
    assert outcome.announced and not outcome.warnings
    assert network(tmp_path).run().quiet
