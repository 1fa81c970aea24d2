"""A number that was published, or is known exactly, beside the one measured here."""

from __future__ import annotations

from typing import NamedTuple


class Result(NamedTuple):
    """What was measured, at what setting, what it should be, what it is, and how far the two may lie apart."""

    name: str
    setting: str
    published: float  # or exact
    ours: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """|ours − published| ≤ tolerance; a NaN never is.

        >>> Result("π", "of the Bible", 3.14159, 3.0, 0.2).ok
        True
        """
        return abs(self.ours - self.published) <= self.tolerance


HEAD = ("what", "setting", "published or exact", "ours", "within", "note")


def table(results: list[Result]) -> str:
    """The results under one another, in columns as wide as they need; what is out of tolerance is marked with ✗.

    >>> print(table([Result("ratio", "g = 2", 0.5, 0.51, 0.02), Result("top", "w × b", 3320, 3300, 5, "why")]))
      what   setting  published or exact   ours  within  note
    ✓ ratio  g = 2                   0.5   0.51    0.02
    ✗ top    w × b                  3320   3300       5  why
    """
    cells = [(r.name, r.setting, f"{r.published:.6g}", f"{r.ours:.6g}", f"{r.tolerance:g}", r.note) for r in results]
    columns = [*zip(HEAD, *cells, strict=True)]
    columns = [_justified(column, to_the_right=2 <= i <= 4) for i, column in enumerate(columns)]
    marks = [" ", *("✓" if r.ok else "✗" for r in results)]
    return "\n".join(
        f"{mark} {'  '.join(row)}".rstrip() for mark, row in zip(marks, zip(*columns, strict=True), strict=True)
    )


def _justified(column: tuple[str, ...], to_the_right: bool) -> tuple[str, ...]:
    width = max(map(len, column))
    return tuple(cell.rjust(width) if to_the_right else cell.ljust(width) for cell in column)
