"""Progress bars in a terminal or a notebook."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any


class SilentBar:
    """Has what is used of a tqdm bar, and draws nothing."""

    def __init__(self, iterable: Iterable[Any] | None = None) -> None:
        self._iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterable or ())

    def __enter__(self) -> SilentBar:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def update(self, n: int = 1) -> None:
        """One step more."""

    def set_postfix(self, values: Any = None, refresh: bool = True) -> None:
        """What would stand behind the bar."""


def progress_bar(iterable: Any = None, *, show: bool = True, **options: Any) -> Any:
    """A tqdm bar on standard error; a silent one with show=False, and where that is neither terminal nor notebook.

    In a notebook it is a widget where ipywidgets is installed, else text. options go to tqdm.
    """
    if show and in_notebook():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets tqdm.auto warns, and draws text
            from tqdm.auto import tqdm as notebook_bar
        return notebook_bar(iterable, **options)
    if not show or sys.stderr is None or not sys.stderr.isatty():
        return SilentBar(iterable)
    from tqdm import tqdm

    size = shutil.get_terminal_size()  # 80 × 24 where the terminal does not say: there tqdm would draw nothing
    return tqdm(iterable, ncols=size.columns, nrows=size.lines, **options)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config
