"""The error wall of a single unit: its hand-written gradient, and the two ways down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchrnn.papers import wall


def scalar_error(w: complex, b: complex) -> Any:
    """E from the equations, one number at a time."""
    x: Any = 0.5
    for _ in range(50):
        x = w * (1 / (1 + np.exp(-x))) + b
    return (1 / (1 + np.exp(-x)) - 0.7) ** 2


# On both sides of the wall, on it, where σ saturates, and where the two basins do not exist.
POINTS = [(5.5, -2.7), (4.94, -2.575), (4.93, -2.57), (2.0, -3.5), (7.0, -1.5), (4.5, -2.3), (3.1, -1.52)]


@pytest.mark.parametrize(("w", "b"), POINTS)
def test_the_gradient_against_the_complex_step(w: float, b: float) -> None:
    h = 1e-30
    E, dw, db = wall.error_and_gradient(np.array(w), np.array(b))
    assert E == pytest.approx(scalar_error(w, b).real, rel=1e-9)
    assert wall.error(np.array(w), np.array(b)) == pytest.approx(E, rel=1e-9)
    expected = [scalar_error(w + 1j * h, b).imag / h, scalar_error(w, b + 1j * h).imag / h]
    np.testing.assert_allclose([dw, db], expected, rtol=1e-9)  # the wall itself amplifies rounding a thousand times
    if np.hypot(*expected) < 1:
        np.testing.assert_allclose([dw, db], expected, rtol=1e-12)


def test_a_grid_is_its_points() -> None:
    w, b = np.array([2.5, 4.0, 6.0]), np.array([-3.0, -2.1, -1.9, -1.6])
    grid = wall.surface(w, b)
    assert grid.error.shape == grid.norm.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            E, dw, db = wall.error_and_gradient(w[i], b[j])
            np.testing.assert_allclose([grid.error[i, j], grid.norm[i, j]], [E, np.hypot(dw, db)], rtol=1e-12)


def test_a_clipped_step_stays_beside_the_wall() -> None:
    plain, clipped = wall.descend(None), wall.descend(wall.LIMIT)
    assert plain.shape == clipped.shape == (wall.UPDATES + 1, 2)
    assert tuple(plain[0]) == tuple(clipped[0]) == wall.BEGIN
    _, dw, db = wall.error_and_gradient(*plain[0])
    np.testing.assert_allclose(plain[1], plain[0] - wall.RATE * np.array([dw, db]), rtol=1e-14)
    steps = [np.hypot(*np.diff(path, axis=0).T) for path in (plain, clipped)]
    jump = int(steps[0].argmax())
    assert steps[0][jump] > 1.5 and steps[1].max() == pytest.approx(wall.RATE * wall.LIMIT, rel=1e-12)
    np.testing.assert_array_equal(plain[: jump + 1], clipped[: jump + 1])
    far, near = plain[jump + 1], clipped[jump + 1]
    np.testing.assert_allclose((far - plain[jump]) / steps[0][jump], (near - plain[jump]) / steps[1][jump], rtol=1e-9)
    best = [wall.error(*path.T).min() for path in (plain, clipped)]
    assert best[1] < best[0] / 3


def test_the_picture(tmp_path: Path) -> None:
    files = wall.draw(
        wall.Wall(wall.surface(wall.W[::10], wall.B[::10]), wall.descend(None), wall.descend(1)), tmp_path
    )
    assert [*files] == [path.name for path in tmp_path.iterdir()] == ["wall.png"]
    assert (tmp_path / "wall.png").read_bytes().startswith(b"\x89PNG")


def test_the_published_figures() -> None:
    found = wall.results(wall.measure(quick=False, progress=False))
    assert [result.name.partition(": ")[2] for result in found] == [
        *("greatest ‖∇E‖", "w of it", "b of it", "median ‖∇E‖", "longest clipped step")
    ]
    assert all(result.ok for result in found), found
    assert found[-1].note == "exact: rate · limit; without clipping 1.68"
    assert [result.published for result in found] == [3320, 4.94, -2.575, 0.078, 0.2]
    assert max(result.tolerance / abs(result.published) for result in found) <= 0.0100001


def test_the_steepest_of_each_square() -> None:
    surface = wall.surface(wall.W[:11], wall.B[:7])
    w, b, norm = wall.steepest(surface, 3)
    assert norm.shape == (3, 2) == (len(w), len(b))
    assert norm[1, 0] == surface.norm[3:6, :3].max() and norm[2, 1] == surface.norm[6:9, 3:6].max()
    np.testing.assert_allclose((w, b[:1].repeat(3)), (wall.W[1:9:3], [wall.B[1]] * 3))
