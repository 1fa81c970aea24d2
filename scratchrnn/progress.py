"""Progress bars, drawn where somebody can see them: in a terminal, and in a notebook."""

from __future__ import annotations

import shutil
import sys
import warnings
from typing import Any


def progress_bar(iterable: Any = None, *, show: bool = True, **options: Any) -> Any:
    """A tqdm bar on standard error; silent with show=False, and where standard error is neither terminal nor notebook.

    In a notebook it is a widget where ipywidgets is installed, else text. options go to tqdm.
    """
    if in_notebook():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets tqdm.auto warns, and draws text
            from tqdm.auto import tqdm as notebook_bar
        return notebook_bar(iterable, disable=not show, **options)
    from tqdm import tqdm

    size = shutil.get_terminal_size()  # 80 × 24 where the terminal does not say: there tqdm would draw nothing
    quiet = None if show else True  # None: quiet unless on a terminal
    return tqdm(iterable, disable=quiet, ncols=size.columns, nrows=size.lines, **options)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config
