"""Execute the notebooks and write each as one HTML file that needs no network: `make notebooks`.

Formulas become MathML, which browsers draw by themselves; figures are SVG inside the page; there are no scripts. A
notebook fails when a cell raises, and when anything is written to stderr: a warning belongs in no lesson.
`python notebooks/build.py 02 03` does some of them.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path

import jupytext
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

HERE = Path(__file__).parent
COMPILING = "scratchrnn: compiling"  # how the line begins that says why the very first run takes longer
TEMPLATE = """
{%- extends "lab/index.html.j2" -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
main { max-width: 62rem; margin: 0 auto; }
.jp-InputPrompt, .jp-OutputPrompt { display: none; }
details { border-left: 3px solid #0072B2; padding: 0.2rem 0.9rem; margin: 0.5rem 0; background: #f5f8fb; }
summary { cursor: pointer; color: #0072B2; }
math { font-size: 1.08em; }
</style>
{%- endblock -%}
"""


class Renderer(IPythonRenderer):
    """nbconvert's Markdown, with formulas as MathML and links from notebook to notebook."""

    def inline_math(self, body: str) -> str:
        """$…$"""
        return convert(body)

    def block_math(self, body: str) -> str:
        """$$…$$"""
        return convert(body, display="block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link to 02_name.py leads to 02_name.html."""
        return super().link(text, re.sub(r"^(\d\d_\w+)\.py$", r"\1.html", url), title)


def markdown_to_html(source: str) -> str:
    """The text of a cell."""
    return MarkdownWithMath(renderer=Renderer(escape=False, exclude_anchor_links=True)).render(source)


def paths(*numbers: str) -> list[Path]:
    """The notebooks whose names begin so; all of them when nothing is said."""
    return sorted(path for path in HERE.glob("[0-9][0-9]_*.py") if path.name.startswith(numbers or ""))


def execute(path: Path) -> NotebookNode:
    """The notebook with its outputs, from a process of its own. Raises where a cell fails or writes to stderr."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the matrices are small, see README.md
    notebook = jupytext.read(path)
    arguments = ["--InlineBackend.figure_formats=svg", "--IPKernelApp.log_level=ERROR"]
    where = {"metadata": {"path": str(HERE)}}
    options = {"extra_arguments": arguments, "resources": where, "coalesce_streams": True}  # a line stays one line
    NotebookClient(notebook, timeout=300, kernel_name="python3", **options).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                output.text = "".join(s for s in output.text.splitlines(True) if not s.startswith(COMPILING))
                if output.text:
                    raise RuntimeError(f"{path.name} wrote to stderr:\n{output.text}\nin the cell\n{cell.source}")
        cell.outputs = [o for o in cell.get("outputs", []) if o.get("name") != "stderr"]
    return notebook


def to_html(notebook: NotebookNode, name: str) -> str:
    """The page, with everything that it shows inside it."""
    exporter = HTMLExporter(filters={"markdown2html": markdown_to_html})
    exporter.raw_template = TEMPLATE
    return exporter.from_notebook_node(notebook, {"metadata": {"name": name}})[0]


def main() -> None:
    """Build them, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="beginnings of names, such as 02; default: all")
    parser.add_argument("--out", type=Path, default=HERE.parent / "notebooks-output", help="folder to write to")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = paths(*arguments.numbers)
    if not chosen:
        parser.error(f"no notebook begins with {' or '.join(arguments.numbers)}")
    for path in chosen:
        start = time.perf_counter()
        notebook = execute(path)
        seconds = time.perf_counter() - start
        page = arguments.out / f"{path.stem}.html"
        page.write_text(to_html(notebook, path.stem), encoding="utf-8")
        print(f"{path.stem:<30} {seconds:5.1f} s  {os.path.relpath(page)}", flush=True)


if __name__ == "__main__":
    main()
