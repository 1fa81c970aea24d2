"""Pictures of maps, spectra, surfaces and remedies: what is drawn, what is left out, and values of any range."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from drawing import ink, make_flow, x_label, x_of, y_of
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.gradients.flow import cell_names
from scratchrnn.plots.heat import ZERO
from scratchrnn.plots.maps import lag_ratios


def bare() -> Axes:
    return Figure(figsize=(6, 4)).subplots()


def array_of(image: AxesImage) -> np.ma.MaskedArray:
    return np.ma.asarray(image.get_array())


def triangle(T: int = 7, base: float = 0.5, above: float = np.nan) -> np.ndarray:
    """[t, k] = base^(t − k) · (t + 1) for k ≤ t."""
    t, k = np.indices((T, T))
    return np.where(k <= t, float(base) ** (t - k) * (t + 1.0), above)


def make_spectrum(log10: Any, *, radius: float = 0.9, norm: float = 1.2) -> Any:
    log10 = np.asarray(log10, dtype=float)
    bound = np.arange(len(log10)) * np.log10(norm)
    return SimpleNamespace(log10=log10, log10_bound=bound, radius=radius, norm=norm, gamma=1.0)


def fan(K: int = 9, H: int = 4, slope: float = 0.3) -> np.ndarray:
    return -slope * np.arange(K + 1)[:, None] * np.arange(1, H + 1)


def make_seen(**changed: Any) -> Any:
    """What `gradient_flow` returns, of two recurrent layers."""
    T = 7
    layer = np.geomspace(1e-3, 1, 3 * T).reshape(3, T)
    seen = {
        "flow": make_flow(layer.tolist(), (2 * layer).tolist()),
        "grad_norms": {"W_xh": 1e-3, "W_hh": 0.2, "b_h": 0.0, "W_hy": 3.0},
        "saturated": np.linspace(0, 0.4, 2 * T).reshape(2, T),
        "lag_map": triangle(T),
        "input_map": triangle(T, 0.8),
        "spectrum": make_spectrum(fan()),
        "about": "RNN(2 → 4): N = 3, T = 7, loss mse 0.5 on every step",
    }
    seen |= changed
    return SimpleNamespace(**seen, cells=seen["flow"].names)


def titles(figure: Figure) -> list[str]:
    return [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]


@pytest.mark.parametrize("draw", [plots.plot_lag_map, plots.plot_input_map])
def test_a_map_is_a_lower_triangle_with_zeros_in_grey(draw: Callable[..., Axes]) -> None:
    table = triangle(5)
    table[3, 0] = table[4, 1] = 0.0
    figure = plots.new_figure()
    ax = draw(table, figure.subplots())
    zeros, image = map(array_of, ax.images)
    np.testing.assert_array_equal(~np.ma.getmaskarray(zeros), table == 0)
    np.testing.assert_array_equal(~np.ma.getmaskarray(image), table > 0)
    np.testing.assert_array_equal(image.compressed(), table[table > 0])
    assert isinstance(ax.images[1].norm, mpl.colors.LogNorm)
    assert mpl.colors.to_hex(ax.images[0].cmap(0.0)) == ZERO
    assert "grey: exactly 0" in x_label(ax)
    assert ax.get_ylim() == (4.5, -0.5)  # step 0 on top
    assert x_label(ax).startswith(("state of step $k$", "input of step $k$"))
    assert ink(figure) > 0.05
    with pytest.raises(ValueError, match=r"square, \(T, T\), got \(5, 4\)"):
        draw(table[:, :4])


def test_a_map_of_two_directions_keeps_both_triangles() -> None:
    ax = plots.plot_lag_map(triangle(4, above=0.1), bare())
    (image,) = ax.images
    assert not np.ma.getmaskarray(array_of(image)).any()


def test_decay_with_the_lag_is_that_of_the_map() -> None:
    table = triangle(8, 0.5)
    table[5] = np.nan  # a step whose loss does not count
    np.testing.assert_allclose(lag_ratios(table)[7], 0.5 ** np.arange(8))
    assert np.isnan(lag_ratios(table)[5]).all() and np.isnan(lag_ratios(table)[2, 3:]).all()
    ax = plots.plot_lag_decay(table, bare(), bound=0.9, radius=0.6)
    measured, bound, radius = ax.lines
    np.testing.assert_allclose(y_of(measured), 0.5 ** np.arange(8))
    np.testing.assert_allclose(y_of(bound), 0.9 ** np.arange(8))
    np.testing.assert_allclose(y_of(radius), 0.6 ** np.arange(8))
    assert ax.get_yscale() == "log"
    assert isinstance(ax.collections[0], PolyCollection)  # the range over t


def test_decay_is_not_pressed_flat_by_a_bound_that_explodes() -> None:
    ax = plots.plot_lag_decay(triangle(50, 0.9), bare(), bound=30.0)
    assert ax.get_ylim()[1] < 100
    assert len(x_of(ax.lines[1])) < 4
    alone = plots.plot_lag_decay(triangle(50, 0.9), bare())
    assert len(alone.lines) == 1 and alone.get_legend() is None


def test_decay_of_a_loss_on_the_last_step_alone() -> None:
    table = np.full((6, 6), np.nan)
    table[5] = [0.0, 0.0, 1e-3, 1e-2, 0.1, 2.0]
    ax = plots.plot_lag_decay(table, bare(), bound=0.5)
    np.testing.assert_allclose(y_of(ax.lines[0])[:4], [1, 0.05, 5e-3, 5e-4])
    assert not ax.collections  # one row has no range
    assert "exactly 0, not drawn: 2 of 6" in x_label(ax)


def test_spectrum_is_a_fan_on_an_axis_of_logarithms() -> None:
    values = fan(K=9, H=4) * 2000  # to 10^−21600
    values[7:, 3] = -np.inf
    figure = plots.new_figure()
    ax = plots.plot_spectrum(make_spectrum(values, norm=1.5), figure.subplots())
    *lines, bound = ax.lines
    for line, expected in zip(lines, np.where(np.isfinite(values), values, np.nan).T, strict=True):
        np.testing.assert_array_equal(y_of(line), expected)
    np.testing.assert_allclose(y_of(bound), np.arange(10) * np.log10(1.5))
    assert ax.get_yscale() == "linear" and "log" in ax.get_ylabel()
    assert ax.get_ylim()[0] < values[-1, 2]
    assert "exactly 0, not drawn: 3 of 40" in x_label(ax)
    assert ink(figure) > 0.01


def test_a_large_spectrum_is_thinned_and_says_so() -> None:
    ax = plots.plot_spectrum(make_spectrum(fan(K=5000, H=60)), bare())
    assert len(ax.lines) == 25 and all(len(x_of(line)) == 1000 for line in ax.lines)
    for i, line in ((0, ax.lines[0]), (59, ax.lines[23])):  # the ends are there
        assert y_of(line)[-1] == fan(K=5000, H=60)[-1, i]
    assert "24 of 60 singular values drawn" in x_label(ax)


def test_the_bound_leaves_the_picture_of_a_fan() -> None:
    ax = plots.plot_spectrum(make_spectrum(fan(slope=0.01), norm=100.0), bare())
    assert ax.get_ylim()[1] < 1 < y_of(ax.lines[-1])[-1]


def test_eigenvalues() -> None:
    W = np.array([[0.0, -2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.5]])  # ±2i and 0.5
    ax = plots.plot_eigenvalues(W, bare())
    circle, inside, outside = ax.lines
    np.testing.assert_allclose(np.hypot(x_of(circle), y_of(circle)), 1)
    assert (x_of(inside).tolist(), y_of(inside).tolist()) == ([0.5], [0.0])
    np.testing.assert_allclose(np.sort(y_of(outside)), [-2, 2])
    assert r"$\rho$ = 2" in x_label(ax) and "2 of 3 outside" in x_label(ax)
    for wrong in (np.ones((2, 3)), np.array([[np.nan]])):
        with pytest.raises(ValueError, match="a square matrix"):
            plots.plot_eigenvalues(wrong)
    assert "outside" not in x_label(plots.plot_eigenvalues(np.zeros((1, 1)), bare()))


def test_lyapunov_spectrum_beside_the_exact_one() -> None:
    exponents, exact = [0.1, -0.2, -np.inf], [0.12, -0.25, -3.0]
    ax = plots.plot_lyapunov(exponents, bare(), exact=exact, exact_name="Newman")
    _, measured, line = ax.lines
    assert (x_of(measured).tolist(), y_of(measured).tolist()) == ([1, 2], [0.1, -0.2])
    assert y_of(line).tolist() == exact
    assert "−∞, not drawn: 1 of 3" in x_label(ax)
    with pytest.raises(ValueError, match="no exponents"):
        plots.plot_lyapunov([])


def test_onset_of_chaos() -> None:
    g, seeds = [2.0, 0.5], np.array([[0.1, 0.3], [-0.6, -0.8]])
    ax = plots.plot_chaos(g, seeds, bare(), known=[0.2, -0.69])
    *_, dots, mean, known = ax.lines
    assert x_of(dots).tolist() == [2, 2, 0.5, 0.5] and y_of(dots).tolist() == seeds.ravel().tolist()
    assert x_of(mean).tolist() == [0.5, 2]  # in order
    np.testing.assert_allclose(y_of(mean), [-0.7, 0.2])
    assert y_of(known).tolist() == [0.2, -0.69]
    assert len(plots.plot_chaos(g, seeds[:, 0], bare()).lines) == 3
    with pytest.raises(ValueError, match="2 gains need as many rows"):
        plots.plot_chaos(g, np.zeros(3))


def test_surface_shows_its_peak_and_paths() -> None:
    w, b = np.linspace(2, 7, 60), np.linspace(-3, -1, 40)
    norm = np.ones((40, 60))
    norm[10, 20] = 3e3  # a wall of one cell, which a scale without outliers would leave out
    path = np.array([[3.0, -2.0], [4.0, -1.5], [40.0, 9.0]])
    figure = plots.new_figure()
    ax = plots.plot_surface(w, b, norm, figure.subplots(), paths={"clipped": path, "plain": path[:2]})
    (image,) = ax.images
    assert image.norm.vmax == 3e3
    np.testing.assert_array_equal(np.ma.getdata(np.ma.asarray(image.get_array())), norm)
    step = w[1] - w[0]
    np.testing.assert_allclose(image.get_extent()[:2], [2 - step / 2, 7 + step / 2])
    np.testing.assert_allclose(ax.get_xlim(), image.get_extent()[:2])  # a wild step does not stretch it
    np.testing.assert_array_equal(x_of(ax.lines[1]), path[:, 0])
    legend = ax.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["clipped", "plain", "start"]
    assert ink(figure) > 0.1
    with pytest.raises(ValueError, match=r"shape \(60, 40\), expected \(b, w\) = \(40, 60\)"):
        plots.plot_surface(w, b, norm.T)
    with pytest.raises(ValueError, match="w must be evenly spaced"):
        plots.plot_surface(w**2, b, norm)


def test_remedies_are_named_at_their_ends() -> None:
    curves = {"none": 0.5 ** np.arange(9), "orthogonal": np.ones(9), "dead": np.zeros(3), "short": np.array([1.0, 0.0])}
    figure = plots.new_figure()
    ax = plots.plot_remedies(curves, figure.subplots(), xlabel="update", start=1)
    for line, curve in zip(ax.lines, curves.values(), strict=True):
        np.testing.assert_array_equal(y_of(line), np.where(curve > 0, curve, np.nan))
        assert x_of(line)[0] == 1
    assert sorted(text.get_text() for text in ax.texts) == ["none", "orthogonal", "short"]
    assert "exactly 0, not drawn: 4 of 23 points" in x_label(ax)
    assert ink(figure) > 0.01
    some = plots.plot_remedies({"short": [1.0]}, bare(), among=list(curves)).lines[0]
    assert (some.get_color(), some.get_linestyle()) == (ax.lines[3].get_color(), ax.lines[3].get_linestyle())
    with pytest.raises(ValueError, match="no curves"):
        plots.plot_remedies({})


def test_names_at_ends_do_not_run_out_of_the_picture() -> None:
    ax = plots.plot_remedies({f"remedy {i}": np.full(4, 1.0 + i / 1e3) for i in range(12)} | {"low": [1e-9]}, bare())
    places = sorted(text.xy[1] for text in ax.texts)  # type: ignore[attr-defined]
    assert places[-1] <= 1.0 + 1e-12 and np.diff(places).min() > 0.055


def test_all_of_a_gradient_flow() -> None:
    seen = make_seen()
    figure = plots.new_figure(*plots.gradient_flow_size(seen))
    assert plots.plot_gradient_flow(seen, figure) is figure
    assert [title.partition(":")[0].partition(" ")[0] for title in titles(figure)] == [
        *("Gradient", "Gradient", "Lag", "Input", "Decay", "Singular")
    ]
    assert {"time step $t$"} == {x_label(ax) for ax in figure.axes[:2] if x_label(ax)}
    assert ink(figure) > 0.05


def test_what_was_not_measured_has_no_panel() -> None:
    for names in (
        ["lag_map"],
        ["input_map"],
        ["spectrum"],
        ["lag_map", "input_map"],
        ["lag_map", "input_map", "spectrum"],
    ):
        seen = make_seen(**dict.fromkeys(names))
        figure = plots.plot_gradient_flow(seen, Figure(figsize=plots.gradient_flow_size(seen)))
        missing = {"lag_map": ("Lag", "Decay"), "input_map": ("Input",), "spectrum": ("Singular",)}
        for name, words in missing.items():
            there = any(title.startswith(words) for title in titles(figure))
            assert there == (name not in names), (names, name)
        assert ink(figure) > 0.01


def test_saturation_and_tensor_norms() -> None:
    ax = plots.plot_saturated(np.zeros(5), bare())
    assert y_of(ax.lines[0]).tolist() == [0] * 5 and ax.get_ylim()[1] == 0.1
    assert ax.get_ylim()[0] < 0  # the line at 0 is not hidden by the axis
    assert len(plots.plot_saturated(np.full((3, 4), np.nan), bare()).lines) == 3
    ax = plots.plot_tensor_norms({"W": 1e-3, "b": 0.0, "V": float("nan"), "U": 1e305}, bare())
    np.testing.assert_array_equal(x_of(ax.lines[0]), [1e-3, np.nan, np.nan, np.nan])
    assert [text.get_text() for text in ax.texts] == ["0.001", "exactly 0", "nan, not drawn", "1e+305, not drawn"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["W", "b", "V", "U"]
    with pytest.raises(ValueError, match="no tensors"):
        plots.plot_tensor_norms({})


def test_a_lag_map_of_one_loss_is_a_curve() -> None:
    table = np.full((6, 6), np.nan)
    table[5] = [0.0, 1e-4, 1e-3, 1e-2, 0.1, 2.0]
    ax = plots.plot_lag_map(table, bare())
    assert not ax.images and "step 5 alone" in ax.get_title(loc="left")
    np.testing.assert_array_equal(y_of(ax.lines[0])[1:], table[5, 1:])
    assert "exactly 0, not drawn: 1 of 6 steps" in x_label(ax)


def test_a_fan_leaves_the_greatest_readable() -> None:
    log10 = np.array([[0.0, 0.0], [-1.0, -90.0], [-2.0, -180.0]])
    ax = plots.plot_spectrum(make_spectrum(log10), bare(), cell="level 1 forward")
    assert -30 < ax.get_ylim()[0] < -20 and "not drawn" in x_label(ax)
    assert ax.get_title(loc="left") == "Singular values, level 1 forward"


def test_a_floor_keeps_dead_curves_from_pressing_the_rest_flat() -> None:
    curves = {"dead": np.geomspace(1, 1e-200, 9), "alive": np.ones(9)}
    ax = plots.plot_remedies(curves, bare(), floor=1e-30)
    assert ax.get_ylim()[0] > 1e-32
    assert "below 1e-30, not drawn: 7 of 18 points" in x_label(ax)


def test_cells_are_called_by_level_and_direction() -> None:
    layers: list[Any] = [sr.RNN(2, 4), sr.RNN(4, 3, num_layers=2, bidirectional=True), sr.Linear(6, 1)]
    model = sr.SequenceModel(layers, backend="numpy")
    x = np.random.default_rng(0).normal(size=(3, 6, 2))
    seen = sr.gradient_flow(model, x, np.zeros((3, 6, 1)), progress=False)
    ends = ["level 1 forward", "level 1 reverse", "level 2 forward", "level 2 reverse"]
    assert seen.cells == ["level 0", *ends]
    figure = seen.plot(Figure(figsize=plots.gradient_flow_size(seen)))
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == seen.cells
    assert titles(figure)[-2:] == ["Decay with the lag, level 2", "Singular values, level 2 forward"]
    assert "N = 3, T = 6, loss mse" in figure.get_suptitle()
    history = sr.fit(model, x, np.zeros((3, 6, 1)), epochs=1, track="all", progress=False)
    panels = {ax.get_title(loc="left"): ax for ax in plots.plot_gradients(history, Figure()).axes}
    assert [line.get_label() for line in panels["Each layer"].lines] == seen.cells


NUMBERS = {
    "vanishing": np.geomspace(1e-306, 1, 9),
    "exploding": np.geomspace(1e-3, 1e299, 9),
    "everything": np.geomspace(1e-306, 1e299, 9),
    "beyond drawing": np.array([1e305]),
    "one value": np.array([0.5]),
    "zeros": np.zeros(3),
    "not finite": np.array([1.0, np.nan, np.inf, 0.0]),
}


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("values", NUMBERS.values(), ids=NUMBERS)
def test_no_range_breaks_a_picture(values: np.ndarray, units: int) -> None:
    T = len(values)
    table = np.where(np.tri(T, dtype=bool), values[np.abs(np.subtract.outer(np.arange(T), np.arange(T)))], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values)[:, None] * np.arange(1, units + 1)
    finite = np.where(np.isnan(logs) | np.isposinf(logs), -np.inf, logs)
    spectrum = make_spectrum(finite, norm=float(np.clip(np.nan_to_num(values).max(), 1e-300, 1e300)))
    seen = make_seen(
        flow=make_flow([values.tolist()]),
        grad_norms={f"W{i}": float(value) for i, value in enumerate(values)},
        saturated=np.zeros((1, T)),
        lag_map=table,
        input_map=table,
        spectrum=spectrum,
    )
    figure = Figure(figsize=plots.gradient_flow_size(seen))
    plots.plot_gradient_flow(seen, figure)
    assert ink(figure) > 0.01
    figure = Figure(figsize=(8, 3))
    one, two = figure.subplots(1, 2)
    plots.plot_remedies({"a": values, "b": values / 2, "c": values[::-1]}, one)
    plots.plot_surface(np.arange(T), [0.5], values[None], two)
    assert ink(figure) > 0.01


def test_without_axes_pyplot_gets_a_figure_to_show(pyplot: Any) -> None:
    settings = dict(mpl.rcParams)
    seen = make_seen()
    figure = plots.plot_gradient_flow(seen)
    assert pyplot.gcf() is figure and tuple(figure.get_size_inches()) == plots.gradient_flow_size(seen)
    draws: list[Callable[[], Axes]] = [
        lambda: plots.plot_lag_map(seen.lag_map),
        lambda: plots.plot_spectrum(seen.spectrum),
        lambda: plots.plot_eigenvalues(np.eye(2)),
        lambda: plots.plot_lyapunov([0.1]),
        lambda: plots.plot_chaos([1.0], [0.1]),
        lambda: plots.plot_surface([0, 1], [0, 1], np.ones((2, 2))),
        lambda: plots.plot_remedies({"a": [1.0]}),
    ]
    for draw in draws:
        assert draw() is pyplot.gca()
    assert len(pyplot.get_fignums()) == 8 and dict(mpl.rcParams) == settings


@pytest.fixture(scope="module")
def tracked() -> sr.History:
    """A run of two levels, in which everything was tracked."""
    rng = np.random.default_rng(0)
    model = sr.SequenceModel([sr.RNN(2, 4, num_layers=2), sr.Linear(4, 1)], backend="numpy", seed=1)
    x, target = rng.normal(size=(12, 6, 2)), rng.normal(size=(12, 6, 1))
    return sr.fit(model, x, target, epochs=3, batch_size=5, track="all", progress=False)


def test_gradients_show_what_was_tracked(tracked: sr.History) -> None:
    figure = Figure(figsize=plots.gradients_size(tracked))  # without the layout that takes most of the time
    assert figure.get_size_inches() == pytest.approx([9, 5 + 2 * 2.8])
    assert plots.plot_gradients(tracked, figure) is figure
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes}
    record = tracked.flow
    layers = panels["Each layer"].lines
    per_sample = record.layers * np.sqrt([5, 5, 2] * 3)[:, None, None]
    for i, line in enumerate(layers):
        np.testing.assert_allclose(y_of(line), np.exp(np.log(per_sample[:, i]).mean(axis=1)))
        np.testing.assert_array_equal(x_of(line), record.updates)
    saturated = panels["Saturated units"].lines
    np.testing.assert_allclose([y_of(line) for line in saturated], record.saturated.mean(axis=2).T)
    for title, table in (
        ("Gradient of each tensor", record.grad_norms),
        ("Step relative to its tensor", record.update_ratios),
    ):
        for line, (name, curve) in zip(panels[title].lines, table.items(), strict=True):
            assert line.get_label() == name
            np.testing.assert_array_equal(y_of(line), np.where(np.isfinite(curve), curve, np.nan))
    assert ink(figure) > 0.05


def test_gradients_of_norms_alone_are_the_two_panels_they_were() -> None:
    model = sr.VanillaRNN(1, 3, 1, backend="numpy")
    history = sr.fit(model, np.ones((4, 5, 1)), np.ones((4, 5, 1)), epochs=2, progress=False)
    figure = plots.plot_gradients(history, Figure())
    assert titles(figure) == ["Gradient at each time step", "Gradient norm"]
    assert plots.gradients_size(history) == (9.0, 5.0)


def test_one_update_of_one_unit_and_gradients_of_exactly_zero() -> None:
    model = sr.VanillaRNN(1, 1, 1, backend="numpy")
    model.params.vector[:] = 0.0
    x = np.zeros((2, 1, 1))
    history = sr.fit(model, x, x, epochs=1, track="all", progress=False)
    figure = Figure(figsize=plots.gradients_size(history))
    plots.plot_gradients(history, figure)
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes}
    assert "Each layer" not in panels  # it is the top one
    assert "exactly 0, not drawn: 5" in x_label(panels["Gradient of each tensor"])
    assert ink(figure) > 0.01


def test_real_measurements_are_drawn(rng: np.random.Generator) -> None:
    model = sr.SequenceModel([sr.RNN(3, 5), sr.RNN(5, 4, nonlinearity="relu"), sr.Linear(4, 2)], backend="numpy")
    x, target = rng.normal(size=(3, 7, 3)), rng.normal(size=(3, 2))
    seen = sr.gradient_flow(model, x, target, steps="last", lengths=[7, 3, 5], progress=False)
    figure = seen.plot(Figure(figsize=plots.gradient_flow_size(seen)))
    assert len(titles(figure)) == 6 and ink(figure) > 0.05
    assert seen.spectrum is not None
    assert len(seen.spectrum.plot(bare()).lines) == 4 + 1


@pytest.mark.parametrize(
    ("cells", "directions", "expected"),
    [
        (1, 1, "0"),
        (2, 1, "0, 1"),
        (3, 1, "0, 1, 2"),
        (2, 2, "0 forward, 0 reverse"),
        (4, 2, "0 forward, 0 reverse, 1 forward, 1 reverse"),
        (6, 2, "0 forward, 0 reverse, 1 forward, 1 reverse, 2 forward, 2 reverse"),
        (3, 2, "0, 1 forward, 1 reverse"),  # it does not come out even
        (5, 2, "0, 1, 2, 3 forward, 3 reverse"),
    ],
)
def test_cells_are_named_without_the_tensors(cells: int, directions: int, expected: str) -> None:
    assert cell_names(cells, directions) == [f"level {name}" for name in expected.split(", ")]
