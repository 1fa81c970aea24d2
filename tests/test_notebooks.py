"""The notebooks keep to the form that notebooks/README.md asks for, run without a warning, and become whole pages."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import jupytext
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

import scratchrnn as sr
from notebooks import build

ROOT = Path(__file__).parent.parent
NOTEBOOKS = build.paths()
PUBLIC = re.compile(r"scratchrnn|scratchrnn\.(plots(\.style)?|text|tasks(\.\w+)?|papers(\.\w+)?)")
CHAPTER = "**Question from the chapter.**"
ASKED = {"01": 1, "04": 1, "06": 1, "07": 1}  # how many of the chapter's four closing questions a notebook asks
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[str]:
    """Sources of the cells of one kind."""
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == kind]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebooks' short form; the library of this checkout, wherever the notebook runs."""
    monkeypatch.setenv("SCRATCHRNN_QUICK", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_each_has_a_number() -> None:
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert len(numbers) == len(set(numbers)) >= 3
    assert set(ASKED) <= set(numbers)


@every
def test_form(path: Path) -> None:
    first, *_, last = text = cells(path, "markdown")
    assert re.match(rf"# {path.name[:2]} · \S", first)
    assert "**You will learn**" in first
    assert "**Next.**" in last
    assert re.search(r"\]\(\.\./scratchrnn/\w", last)
    assert sum(len(re.findall("^# ", source, flags=re.MULTILINE)) for source in text) == 1
    for source in cells(path, "code"):
        assert len(source.splitlines()) <= 25, f"too long to be read at once:\n{source}"


@every
def test_questions_have_folded_answers(path: Path) -> None:
    asked = 0
    for source in cells(path, "markdown"):
        parts = re.split(r"^(?=\*\*Question)", source, flags=re.MULTILINE)
        for part in parts[1:]:
            question, answer = part.split("\n\n<details><summary>Answer</summary>\n\n")
            assert len(question) > 20
            assert re.match(r"(?s).{20,}\n\n</details>(\n\n|$)", answer)
            asked += 1
        assert "<details" not in parts[0]
    assert asked >= 3
    assert path.read_text(encoding="utf-8").count(CHAPTER) == ASKED.get(path.name[:2], 0)


@every
def test_code_defines_no_class_and_uses_public_names(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.ClassDef)
        if isinstance(node, ast.Attribute):
            private = node.attr.startswith("_") and node.attr != "_replace"  # of a NamedTuple
            assert not private, node.attr
            if isinstance(node.value, ast.Name) and node.value.id == "sr":
                assert hasattr(sr, node.attr), f"there is no sr.{node.attr}"
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
        for module in modules:
            if module.partition(".")[0] == "scratchrnn":
                assert PUBLIC.fullmatch(module), f"{module} is not for users"
        assert not any(name.startswith("_") for name in names)


@every
def test_links_lead_somewhere(path: Path) -> None:
    for source in cells(path, "markdown"):
        for url in re.findall(r"\]\(([^)]+)\)", source):
            assert (build.HERE / url).exists(), f"{url} does not exist"


@every
def test_text_becomes_html_with_formulas(path: Path) -> None:
    notebook = jupytext.read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
    page = build.to_html(notebook, path.stem)
    assert "<script" not in page
    formulas = re.findall(r"<math.*?</math>", page)
    assert formulas
    assert not [formula for formula in formulas if "\\" in formula], "LaTeX that latex2mathml does not know"
    for source in cells(path, "markdown"):
        body = build.markdown_to_html(source)
        assert "$" not in re.sub(r"<code>.*?</code>", "", body)
        assert not re.search(r"\*\*|^\|", re.sub(r"<(code|math).*?</\1>", "", body), flags=re.MULTILINE)
        assert body.count("<details>") == body.count("</details>") == source.count("<details>")


@pytest.mark.slow
@every
@pytest.mark.usefixtures("quick")
def test_it_runs(path: Path) -> None:
    before = os.times()
    notebook = build.execute(path)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{path.stem}: {seconds:.1f} s of processor time in quick mode")
    page = build.to_html(notebook, path.stem)
    assert page.count("data:image/svg+xml") >= 1
    sources = re.findall(r'<(?:img|link|script|iframe)[^>]*(?:src|href)="([^"]*)"', page)
    assert all(source.startswith("data:") for source in sources)
    assert seconds < 20, "10 s are allowed, and as many for kernels that had to be compiled"


def run(tmp_path: Path, code: str) -> NotebookNode:
    path = tmp_path / "99_sample.py"
    path.write_text(f"# %%\n{code}\n", encoding="utf-8")
    return build.execute(path)


@pytest.mark.slow
def test_what_goes_wrong_in_a_notebook_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="no such luck"):
        run(tmp_path, "raise ValueError('no such luck')")
    with pytest.raises(RuntimeError, match=r"99_sample.py wrote to stderr:[\s\S]*divide by zero"):
        run(tmp_path, "import numpy as np\nprint(1 / np.zeros(2))")
    said = "import sys\nprint('scratchrnn: compiling the kernels', file=sys.stderr)\nprint('done')"
    outputs = run(tmp_path, said).cells[0].outputs
    assert [output.text for output in outputs] == ["done\n"]
