"""The README's examples run, in order, as a reader would type them, and its map names files that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")


def test_python_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pyplot: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "W_hh" in printed and "(190, 1)" in printed and "PASS: 7 PASS of 7 tensors" in printed
    assert "(2, 3) -0.99999" in printed or "(2, 3) -1.0" in printed


def test_the_chinese_readme_has_the_same_code() -> None:
    def code(text: str) -> list[str]:
        """Every block without its comments, which are translated."""
        python = [ast.dump(ast.parse(block)) for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)]
        shell = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
        return python + [line.partition("#")[0].rstrip() for block in shell for line in block.splitlines()]

    def map_of_files(text: str) -> list[list[str]]:
        """What the middle column of the map from chapter to code names."""
        return [re.findall(r"`(\S+?\.py)`", row) for row in re.findall(r"^\|.*\.py`.*$", text, flags=re.MULTILINE)]

    assert code(CHINESE) == code(README)
    assert map_of_files(CHINESE) == map_of_files(README)
    without_figures = re.sub("<!-- begin.*end.*?-->", "", README, flags=re.DOTALL)
    for part in ("\n## ", "\n| ", "\n- "):
        assert CHINESE.count(part) == without_figures.count(part), part
    assert re.findall(r"\]\(([\w/.-]+)\)", CHINESE.partition("\n## ")[2]) == re.findall(
        r"\]\(([\w/.-]+)\)", README.partition("\n## ")[2]
    )


def test_the_chinese_readme_has_chinese_punctuation() -> None:
    """But for the headings of the chapter, which stand as they are there."""
    lines = [re.sub("^\\| [^|]*(?=\\| `scratchrnn)", "", line) for line in CHINESE.splitlines()]
    assert not [line for line in lines if re.search("[\u4e00-\u9fff][,;:?]|[,;:?][\u4e00-\u9fff]", line)]


def test_files_it_names_exist() -> None:
    named = set(re.findall(r"`(scratchrnn/[\w/]+\.py)`", README)) | set(re.findall(r"\]\(([\w/.-]+)\)", README))
    assert len(named) > 12
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_make_targets_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
