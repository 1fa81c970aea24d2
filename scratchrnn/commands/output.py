"""What commands write and print."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ..history import History
from ..tasks import sine

Files = dict[str, str]  # what was written: file name to what is in it
MODEL = "model.npz"


def prepare(out: Path) -> None:
    """Find out before the work, not after it, that a folder cannot be written to or matplotlib does not import."""
    from .. import plots  # noqa: F401

    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OSError(f"{error.filename}: {error.strerror}, and is no folder; --out names a folder") from None


def history_pictures(history: History, out: Path, *, loss: str, clip_norm: float | None = None) -> Files:
    """loss.png and gradients.png, each where there is something to draw. `loss` names the loss, with its unit."""
    from .. import plots

    files = {}
    if history.loss:
        figure = plots.new_figure(7, 4)
        plots.plot_loss(history, figure.subplots()).set_ylabel(loss)
        figure.savefig(out / "loss.png")
        files["loss.png"] = f"{loss} per epoch"
    if history.grad_norm:
        figure = plots.new_figure(*plots.gradients_size(history))
        plots.plot_gradients(history, figure, clip_norm=clip_norm).savefig(out / "gradients.png")
        files["gradients.png"] = "‖∂L/∂h_t‖ over time steps and updates, and the norm of every update"
    return files


def sine_files(result: sine.Trained, out: Path, clip_norm: float | None = None) -> Files:
    """data.png, loss.png, gradients.png and the model of a run on the sine."""
    from .. import plots
    from ..checkpoint import save

    data, history = result.data, result.history
    figure = plots.new_figure(9, 5)
    plots.plot_prediction(data.wave, result.model.predict(data.x_test), figure).savefig(out / "data.png")
    files = {"data.png": "the wave, the prediction of its test part, and the error"}
    files |= history_pictures(history, out, loss="mean squared error", clip_norm=clip_norm)
    extra = {"task": "sine", "window": data.x.shape[1]}
    save(result.model, out / MODEL, history=history, extra=extra)
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
    """How a reader can call this program again: by its name where that is found, else as it was called."""
    if shutil.which("scratchrnn"):
        return "scratchrnn"
    return "python -m scratchrnn" if sys.argv[0].endswith("__main__.py") else os.path.relpath(sys.argv[0])


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
