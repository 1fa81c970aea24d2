"""What commands write and print."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..tasks import sine
from ..training.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Files = dict[str, str]  # what was written: file name to what is in it
Result = TypeVar("Result")
MODEL = "model.npz"
HISTORY_PICTURES = ("loss.png", "gradients.png")
SINE_FILES = ("data.png", *HISTORY_PICTURES, MODEL)


def prepare(out: Path, names: Iterable[str] = ()) -> None:
    """Make the folder and check, before the work, that the files with these names can be written there.

    A file is written and removed, because only that shows whether a folder can be written to. Raises OSError where it
    cannot, or where a folder has the name of one of the files, and ImportError where matplotlib does not import.
    """
    from .. import plots  # noqa: F401

    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OSError(f"{error.filename}: {error.strerror}, and is no folder; --out names a folder") from None
    except OSError as error:
        raise OSError(f"{out} cannot be made: {error.strerror}; choose another folder with --out") from None
    try:
        with tempfile.NamedTemporaryFile(dir=out, prefix=".scratchrnn-") as file:
            file.write(b"\n")
            file.flush()
    except OSError as error:
        raise OSError(f"{out} cannot be written to: {error.strerror}; choose another folder with --out") from None
    for name in names:
        if (out / name).is_dir():
            raise IsADirectoryError(
                f"{out / name} is a folder, but a file of that name is to be written; move it, or choose another "
                "folder with --out"
            )


def attempt(what: str, work: Callable[[], Result], more: str = "") -> Result | None:
    """What `work` returns, or None after a warning of one line: for pictures, whose failure must not cost the rest.

    what : the picture; more : what the warning adds to the reason.
    """
    try:
        with warnings.catch_warnings():
            # The name of a Chinese file in a title: a box stands where the font lacks a character.
            warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
            return work()
    except Exception as error:  # of matplotlib, of what it calls, or of the disk
        warn(f"{what} is not drawn: {one_line(error)}{more}")
        return None


def draw(out: Path, name: str, about: str, picture: Callable[[], Figure]) -> Files:
    """Write one picture, and return its name with what it is about; after a failure, warn and return nothing."""

    def write() -> Files:
        with BytesIO() as file:
            picture().savefig(file, format="png")
            (out / name).write_bytes(file.getvalue())
        return {name: about}

    older = "; the file of that name is of an earlier run" if (out / name).exists() else ""
    return attempt(str(out / name), write, older) or {}


def history_pictures(history: History, out: Path, *, loss: str, clip_norm: float | None = None) -> Files:
    """loss.png and gradients.png, each where there is something to draw. `loss` names the loss, with its unit."""
    from .. import plots  # noqa: F401

    def loss_curve() -> Figure:
        figure = plots.new_figure(7, 4)
        plots.plot_loss(history, figure.subplots()).set_ylabel(loss)
        return figure

    def gradients() -> Figure:
        return plots.plot_gradients(history, plots.new_figure(*plots.gradients_size(history)), clip_norm=clip_norm)

    files: Files = {}
    if history.loss:
        files |= draw(out, "loss.png", f"{loss} per epoch", loss_curve)
    if history.grad_norm:
        about = "‖∂L/∂h_t‖ over time steps and updates, and the norm of every update"
        files |= draw(out, "gradients.png", about, gradients)
    return files


def sine_files(result: sine.Trained, out: Path, clip_norm: float | None = None) -> Files:
    """The model of a run on the sine, which is saved first, then data.png, loss.png and gradients.png."""
    from .. import plots  # noqa: F401
    from ..checkpoint import save

    data, history = result.data, result.history
    save(result.model, out / MODEL, history=history, extra={"task": "sine", "window": data.x.shape[1]})

    def prediction() -> Figure:
        return plots.plot_prediction(data.wave, result.model.predict(data.x_test, steps="last"), plots.new_figure(9, 5))

    files = draw(out, "data.png", "the wave, the prediction of its test part, and the error", prediction)
    files |= history_pictures(history, out, loss="mean squared error", clip_norm=clip_norm)
    return files | {MODEL: "the trained model, for scratchrnn.load"}


def training_rows(history: History, seconds: float) -> list[tuple[str, str]]:
    """What any training run says about itself."""
    rows = [("trained", f"{history.epochs} epochs, {history.updates} updates in {seconds:.1f} s")]
    norms = history.grad_norm
    if norms:
        clipped = f"; clipped in {sum(history.clipped)} updates" if any(history.clipped) else ""
        norm = f"{norms[0]:.3g} at first, {norms[-1]:.3g} at last, {max(norms):.3g} at most{clipped}"
        rows.append(("gradient norm", norm))
    return rows


def version() -> str:
    """The installed version."""
    try:
        return metadata.version("scratchrnn")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def program() -> str:
    """How a reader can call this program again, as a shell reads it.

    By its name where the search path leads to this installation, else as it was called, else with this Python.
    """
    called = os.path.abspath(sys.argv[0])
    name, python = shutil.which("scratchrnn"), shutil.which("python")
    if name and (os.path.abspath(name) == called or _folder(name) == sysconfig.get_path("scripts")):
        return "scratchrnn"
    if os.path.isfile(called) and not called.endswith(".py"):
        return shell_path(called)
    python = "python" if python and _folder(python) == _folder(sys.executable) else shell_path(sys.executable)
    return f"{python} -m scratchrnn"


def shell_path(path: str | os.PathLike[str]) -> str:
    """A path as an argument in a shell, relative where it is below the current folder.

    >>> shell_path("my models/a.npz"), shell_path("-out/model.npz")
    ("'my models/a.npz'", './-out/model.npz')
    """
    text = os.fspath(path)
    below = os.path.join(os.getcwd(), "")
    if text.startswith(below):
        text = text[len(below) :]
    if text.startswith("-"):  # else the shell's command takes it for an option
        text = os.path.join(".", text)
    return shlex.quote(text)


def _folder(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def warn(message: str) -> None:
    """One line on standard error."""
    tell(f"scratchrnn: warning: {message}")


def tell(line: str) -> None:
    """A line on standard error, where that can still be written to."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def one_line(error: BaseException) -> str:
    """What an exception says, on one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def print_table(rows: Iterable[tuple[str, str]]) -> None:
    """Two columns."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")


def print_next(commands: Iterable[tuple[str, str]], *more: tuple[str, str]) -> None:
    """What to do now: commands of this program, then whatever else."""
    print("\nnext")
    print_table([*((f"{program()} {command}", what) for command, what in commands), *more])


def print_files(out: Path, files: Files) -> None:
    """Where to look."""
    print(f"\nwritten to {out}/")
    print_table(files.items())
