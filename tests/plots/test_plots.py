"""Pictures: they are drawn without a screen, say what they show, and leave the caller's pyplot alone."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from drawing import ink, make_flow, x_label, x_of, y_of
from helpers import flow_of
from matplotlib.figure import Figure
from matplotlib.text import Annotation

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.plots.style import GUIDE, colour_limits, quantiles
from scratchrnn.tasks import sine


@pytest.fixture(scope="module")
def trained() -> sine.Trained:
    return sine.train(epochs=2, clip_norm=0.5, progress=False)


def make_history(norms: list[float], rows: int = 12) -> sr.History:
    """A history whose losses, global norms and per-step norms run through the given numbers."""
    history = sr.History(sr.Adam(), loss=list(norms), val_loss=list(norms)[::-1])
    for update in range(1, rows + 1):
        history.grad_norm.append(norms[update % len(norms)])
        history.clipped.append(update % 3 == 0)
        history.flow.add(update, flow_of(np.resize(norms, 7)))
    return history


def test_loss(trained: sine.Trained) -> None:
    figure = plots.new_figure()
    ax = plots.plot_loss(trained.history, figure.subplots())
    training, validation = ax.lines
    np.testing.assert_array_equal(x_of(training), [1, 2])
    np.testing.assert_array_equal(y_of(training), trained.history.loss)
    np.testing.assert_array_equal(y_of(validation), trained.history.val_loss)
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    assert ax.get_legend_handles_labels()[1] == ["training", "validation"] and ax.get_legend() is not None
    assert ink(figure) > 0.01


def test_loss_of_two_runs_in_one_picture() -> None:
    ax = plots.new_figure().subplots()
    for losses in ([1.0, 0.1], [1e-5, 1e-6]):
        plots.plot_loss(sr.History(sr.Adam(), loss=losses), ax)
    low, high = ax.get_ylim()
    assert low < 1e-6
    assert high > 1.0


def test_flow_shows_the_median_over_rows_and_their_range() -> None:
    figure = plots.new_figure()
    rows = [[1e-8, 1e-4, 1.0], [1e-6, 1e-2, 3.0], [1e-7, 1e-3, 2.0]]
    ax = plots.plot_flow(make_flow(rows), figure.subplots())
    np.testing.assert_allclose(y_of(ax.lines[0]), [1e-7, 1e-3, 2.0])
    assert ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    assert low < 1e-8
    assert high > 3
    assert "0" not in x_label(ax)
    assert ink(figure) > 0.01


def test_flow_leaves_zeros_out_and_says_so() -> None:
    ax = plots.plot_flow(make_flow([[0.0, 0.0, 1e-3], [0.0, 1e-5, 1e-2]]), plots.new_figure().subplots())
    median = y_of(ax.lines[0])
    assert np.isnan(median[0])
    assert median[1] == pytest.approx(1e-5)
    assert "exactly 0, not drawn: 3 of 6" in x_label(ax)
    assert ax.get_xlim()[0] <= 0  # the empty step has its place
    assert ax.get_ylim()[0] > 1e-6  # no false floor


def test_flow_has_a_curve_for_every_recurrent_layer() -> None:
    model = sr.SequenceModel([sr.RNN(2, 4), sr.RNN(4, 3), sr.Linear(3, 1)], backend="numpy")
    rng = np.random.default_rng(0)
    r = model.loss_and_grads(rng.normal(size=(5, 9, 2)), rng.normal(size=(5, 1)), steps="last")
    figure = plots.new_figure()
    ax = r.flow.plot(figure.subplots())
    assert len(ax.lines) == len(ax.collections) == 2
    assert ink(figure) > 0.01


def test_gradients(trained: sine.Trained) -> None:
    history = trained.history
    figure = plots.new_figure(9, 5)
    assert plots.plot_gradients(history, figure, clip_norm=0.5) is figure
    heat, norm, bar = figure.axes
    (image,) = heat.images
    np.testing.assert_array_equal(np.ma.getdata(image.get_array()), history.flow.per_sample)
    assert isinstance(image.norm, mpl.colors.LogNorm)
    assert (heat.get_xlabel(), heat.get_ylabel()) == ("time step $t$", "update")
    assert "per sample" in bar.get_xlabel()
    assert norm.get_xscale() == "log"
    np.testing.assert_array_equal(x_of(norm.lines[0]), history.grad_norm)
    clipped = np.asarray(history.clipped)
    assert clipped.any()
    np.testing.assert_array_equal(y_of(norm.lines[1]), np.flatnonzero(clipped) + 1)
    legend = norm.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][1] == "limit 0.5"
    assert ink(figure) > 0.2


def test_gradients_show_zeros_in_grey_and_the_end_of_short_rows_blank() -> None:
    figure = plots.new_figure(9, 5)
    plots.plot_gradients(make_history([0.0, 1e-3, 1.0, float("nan")]), figure)
    heat, norm, _ = figure.axes
    zeros, image = (np.ma.getmaskarray(np.ma.asarray(image.get_array())) for image in heat.images)
    table = make_history([0.0, 1e-3, 1.0, float("nan")]).flow.per_sample
    np.testing.assert_array_equal(~zeros, table == 0)
    np.testing.assert_array_equal(~image, table > 0)
    assert "exactly 0" in x_label(heat)
    legend = norm.get_legend()
    assert legend is not None
    assert any("exactly 0, not drawn: 3" in text.get_text() for text in legend.get_texts())
    assert ink(figure) > 0.1


def test_gradients_without_per_step_norms() -> None:
    history = make_history([1.0, 2.0])
    history.flow = type(history.flow)()
    figure = plots.plot_gradients(history, plots.new_figure())
    assert len(figure.axes) == 1
    assert ink(figure) > 0.01


RANGES = {
    "vanishing": np.geomspace(1e-306, 1, 9),
    "exploding": np.geomspace(1e-3, 1e299, 9),
    "everything": np.geomspace(1e-306, 1e299, 9),
    "beyond drawing": np.array([1e305]),
    "one value": np.array([0.5]),
    "zeros": np.zeros(3),
    "not finite": np.array([1.0, np.nan, np.inf, 0.0]),
}


@pytest.mark.parametrize("values", RANGES.values(), ids=RANGES)
def test_no_range_breaks_a_picture(values: np.ndarray) -> None:
    history = make_history(values.tolist())
    figure = Figure(figsize=(9, 8))  # without the layout that takes most of the time
    grid = figure.add_gridspec(2, 1)
    top, bottom = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    plots.plot_gradients(history, top, clip_norm=0.7)
    one, two, three = bottom.subplots(1, 3)
    plots.plot_loss(history, one)
    plots.plot_flow(make_flow([values.tolist(), (values / 3).tolist()]), two)
    plots.plot_decay({0.5: values[::-1], 1.0: values, 2.0: values / 2}, three)
    assert ink(figure) > 0.01


def test_prediction(trained: sine.Trained) -> None:
    data = trained.data
    predicted = trained.model.predict(data.x_test, steps="last")
    figure = plots.new_figure(9, 5)
    plots.plot_prediction(data.wave, predicted, figure, context=30)
    top, bottom = figure.axes
    training, test, prediction = top.lines
    assert x_of(training)[[0, -1]].tolist() == [780, 810]
    np.testing.assert_array_equal(y_of(test), data.target_test[:, 0])
    np.testing.assert_array_equal(y_of(prediction), predicted[:, 0])
    np.testing.assert_array_equal(y_of(bottom.lines[1]), (predicted - data.target_test)[:, 0])
    assert ink(figure) > 0.01
    with pytest.raises(ValueError, match="a series of 3 points cannot have 4"):
        plots.plot_prediction(np.zeros(3), np.zeros(4), plots.new_figure())


def test_decay_draws_curves_labels_and_guides() -> None:
    lags = np.arange(30)
    curves = {1.5: 2 * 1.4**lags, 0.5: 2 * 0.4**lags, 1.0: np.full(30, 2.0)}
    figure = plots.new_figure()
    ax = plots.plot_decay(curves, figure.subplots())
    drawn = [line for line in ax.lines if line.get_label() != GUIDE]
    guides = [line for line in ax.lines if line.get_label() == GUIDE]
    for line, radius in zip(drawn, sorted(curves), strict=True):
        np.testing.assert_array_equal(y_of(line), curves[radius])
    for line, radius in zip(guides, sorted(curves), strict=True):
        np.testing.assert_allclose(y_of(line), 2 * radius**lags)
    assert [text.get_text() for text in ax.texts] == [rf"$\rho$ = {radius}" for radius in ("0.5", "1", "1.5")]
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[1] < 1.5**30 * 2  # the guide leaves the picture, it does not stretch it
    assert ink(figure) > 0.01
    bare = plots.plot_decay(curves, plots.new_figure().subplots(), guides=False)
    assert len(bare.lines) == 3


def test_decay_ends_where_a_curve_is_exactly_zero() -> None:
    ax = plots.plot_decay({0.5: np.array([1.0, 1e-20, 0.0, 0.0]), 0.0: np.zeros(4)}, plots.new_figure().subplots())
    assert ax.get_ylim()[0] > 1e-24
    (label,) = ax.texts
    assert isinstance(label, Annotation)
    assert label.xy[0] == 1
    assert "falls to its end is exactly 0 from there on" in x_label(ax)
    assert ax.get_xlim()[1] >= 3


def test_nothing_to_draw_is_said() -> None:
    empty = sr.History(sr.Adam())
    with pytest.raises(ValueError, match="no epoch has finished"):
        empty.plot()
    with pytest.raises(ValueError, match="no update has been made"):
        empty.plot_gradients()
    with pytest.raises(ValueError, match="no curves"):
        plots.plot_decay({})


def test_given_axes_and_figures_leave_pyplot_alone(trained: sine.Trained, pyplot: Any) -> None:
    mine, ax = pyplot.subplots()
    settings = dict(mpl.rcParams)
    plots.plot_loss(trained.history, plots.new_figure().subplots())
    plots.plot_gradients(trained.history, plots.new_figure())
    plots.plot_prediction(trained.data.wave, trained.data.target_test, plots.new_figure())
    plots.plot_decay({1.0: np.ones(3)}, plots.new_figure().subplots())
    assert pyplot.get_fignums() == [mine.number]
    assert pyplot.gca() is ax
    assert dict(mpl.rcParams) == settings


def test_without_axes_pyplot_gets_a_figure_to_show(trained: sine.Trained, pyplot: Any) -> None:
    settings = dict(mpl.rcParams)
    ax = trained.history.plot()
    assert pyplot.gca() is ax
    figure = trained.history.plot_gradients()
    assert pyplot.gcf() is figure
    ax = make_flow([[1.0, 2.0]]).plot()
    assert pyplot.gca() is ax
    plots.plot_prediction(trained.data.wave, trained.data.target_test)
    plots.plot_decay({1.0: np.ones(3)})
    assert len(pyplot.get_fignums()) == 5
    assert dict(mpl.rcParams) == settings


def test_quantiles_pass_over_what_is_missing() -> None:
    nan = np.nan
    low, middle, high = quantiles(np.array([[1.0, nan, nan], [4.0, 2.0, nan], [9.0, 8.0, nan]]))
    np.testing.assert_allclose(low, [1, 2, nan])
    np.testing.assert_allclose(middle, [4, 4, nan])
    np.testing.assert_allclose(high, [9, 8, nan])


def test_colour_limits_say_what_they_leave_out() -> None:
    values = np.r_[1e-9, np.linspace(1, 2, 1000), 1e9]
    low, high, extend = colour_limits(values)
    assert (round(low), round(high), extend) == (1, 2, "both")
    assert colour_limits(np.array([1.0, 10.0])) == (1.0, 10.0, "neither")
    assert colour_limits(np.array([np.nan]))[2] == "neither"


def test_decay_tells_overflow_from_zero() -> None:
    ax = plots.plot_decay({0.5: np.array([1.0, 0.5]), 9.0: np.array([1.0, np.inf])}, plots.new_figure().subplots())
    assert "overflows" in x_label(ax) and "exactly 0" not in x_label(ax)
    ax = plots.plot_decay({0.5: np.array([1.0, 0.0])}, plots.new_figure().subplots())
    assert "overflows" not in x_label(ax) and "exactly 0" in x_label(ax)


def test_without_norms_the_picture_says_why_and_clipped_updates_are_counted() -> None:
    history = make_history([1.0, 2.0])
    history.flow = type(history.flow)()
    (ax,) = plots.plot_gradients(history, plots.new_figure()).axes
    assert "track=None" in x_label(ax) and ax.get_title(loc="left") == "Norm before clipping"
    legend = ax.get_legend()
    assert legend is not None and legend.get_texts()[0].get_text() == "clipped: 4 of 12 (33%)"


def test_the_legend_of_a_long_clipped_run_stays_inside_the_picture() -> None:
    history = make_history([1.0, 2.0])
    history.grad_norm, history.clipped = [2.0] * 40_000, [True] * 12_345 + [False] * 27_655
    fig = plots.plot_gradients(history, plots.new_figure(*plots.gradients_size(history)), clip_norm=1.0)
    fig.draw_without_rendering()
    (legend,) = [ax.get_legend() for ax in fig.axes if ax.get_legend() is not None]
    place = legend.get_window_extent()
    assert place.x1 <= fig.bbox.x1 and place.y0 >= 0
