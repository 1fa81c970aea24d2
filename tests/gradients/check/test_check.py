"""check_gradients: right gradients pass, planted mistakes fail, and what no method can tell is INCONCLUSIVE."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from helpers import ARCHITECTURES, LOSSES, OF_TOKENS, STEPS, D, N, O, T, difference, make_batch, make_model, set_radius

import scratchrnn as sr

METHODS = ("finite differences", "complex step", "adjoint")


def broken(model: sr.SequenceModel, breaks: Any) -> sr.SequenceModel:
    """The model as an object whose `loss_and_grads` is overridden: `breaks(result)` returns what a mistake would."""

    class Broken(type(model)):  # type: ignore[misc]
        def loss_and_grads(self, *args: Any, **options: Any) -> Any:
            return breaks(super().loss_and_grads(*args, **options))

    model.__class__ = Broken
    return model


def scaled(name: str, factor: float) -> Any:
    """A mistake that multiplies one gradient by a constant."""

    def breaks(result: Any) -> Any:
        result.grads[name][...] *= factor
        return result

    return breaks


@pytest.mark.parametrize(
    ("architecture", "steps"),
    [("vanilla", steps) for steps in STEPS]
    + [
        (name, steps) for name in (*ARCHITECTURES, *OF_TOKENS) for steps in ("last", "mask (N, T)") if name != "vanilla"
    ],
)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
def test_right_gradients_pass(architecture: str, loss: str, steps: str, padded: bool) -> None:
    model = make_model(architecture, loss=loss)
    report = sr.check_gradients(model, **make_batch(model, steps, padded=padded))
    assert report, report
    assert {t.name for t in report.tensors} > {*model.params, *(["x"] if model.layers[0].takes_vectors else [])}
    assert all(t.comparisons["complex step"].verdict == "PASS" for t in report.tensors)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("architecture", ["vanilla", "relu", "deep-bidirectional", "norm-dropout", "embedding"])
def test_every_backend_and_dtype(architecture: str, backend: str, dtype: str) -> None:
    model = make_model(architecture, backend=backend, dtype=dtype)
    before = model.params.vector.copy()
    report = sr.check_gradients(model, **make_batch(model))
    assert report, report
    assert f"{dtype} on {backend}" in str(report)
    assert model.backend == backend and (model.params.vector == before).all()


def test_tokens_have_no_input_gradient() -> None:
    model = make_model(loss="cross_entropy")
    report = sr.check_gradients(model, **make_batch(model, tokens=True))
    assert report, report
    assert {t.name for t in report.tensors} == {*model.params, "h0"}


def test_where_a_relu_switches_finite_differences_say_nothing() -> None:
    """At x = 0, h0 = 0 and b_h = 0 every unit sits on its kink."""
    model = sr.SequenceModel([sr.RNN(D, 4, nonlinearity="relu"), sr.Linear(4, O)], backend="numpy")
    x = np.zeros((N, T, D))
    report = sr.check_gradients(model, x, np.ones((N, T, O)), h0=(np.zeros((N, 4)),))
    assert report, report
    for name in ("x", "h0[0]", "0.b_h"):
        comparison = report[name].comparisons["finite differences"]
        assert comparison.verdict == "INCONCLUSIVE" and report[name].note == "kink"
    assert report["1.b_y"].comparisons["finite differences"].verdict == "PASS" and not report["1.b_y"].note
    assert "(kink)" in str(report)


def test_saturation_is_that_of_tanh(rng: np.random.Generator) -> None:
    """Of every cell; a relu does not saturate."""
    deep = sr.SequenceModel([sr.RNN(D, 4, num_layers=2, bidirectional=True), sr.Linear(8, O)], backend="numpy")
    x, target = rng.normal(0, 0.1, (N, T, D)), rng.normal(size=(N, T, O))
    deep.params["0.b_h_l1_reverse"] = np.full(4, 20.0)
    assert sr.check_gradients(deep, x, target).saturated == 0.25
    relu = sr.SequenceModel([sr.RNN(D, 4, nonlinearity="relu"), sr.Linear(4, O)], backend="numpy")
    relu.params["0.b_h"] = np.full(4, 20.0)
    assert sr.check_gradients(relu, x, target).saturated == 0


@pytest.mark.parametrize(
    ("architecture", "name"),
    [("embedding", "0.E"), ("norm-dropout", "1.gamma"), ("norm-dropout", "6.W_hh_reverse"), ("deep", "0.W_xh_l1")],
)
def test_mistakes_in_any_layer_are_found(architecture: str, name: str) -> None:
    model = make_model(architecture)
    report = sr.check_gradients(broken(model, scaled(name, 1 + 1e-9)), **make_batch(model))
    assert report.verdict == "FAIL" and [t.name for t in report.tensors if t.verdict == "FAIL"] == [name]


def test_h0_is_drawn_and_said() -> None:
    model = make_model()
    batch = make_batch(model)
    batch["h0"] = None
    report = sr.check_gradients(model, **batch)
    assert report and report.h0_drawn and "h0 drawn from U(−0.5, 0.5)" in str(report)
    assert "h0 as given" in str(sr.check_gradients(model, **make_batch(model)))


# Planted mistakes.


@pytest.mark.parametrize("name", ["W_xh", "W_hh", "b_h", "W_hy", "b_y"])
@pytest.mark.parametrize("factor", [0.0, -1.0, 1 + 1e-9, 2.0])
def test_a_wrong_factor_fails(name: str, factor: float) -> None:
    model = broken(make_model(), scaled(name, factor))
    report = sr.check_gradients(model, **make_batch(model))
    assert not report
    assert [t.name for t in report.tensors if t.verdict == "FAIL"] == [name]
    assert report[name].comparisons["complex step"].verdict == "FAIL"
    assert report[name].comparisons["adjoint"].verdict == "FAIL"
    if factor != 1 + 1e-9:  # below what finite differences can see
        assert report[name].comparisons["finite differences"].verdict == "FAIL"
        assert report[name].worst.ratio == pytest.approx(factor)


def test_one_wrong_entry_is_found_in_a_large_tensor() -> None:
    model = sr.VanillaRNN(D, 40, O, backend="numpy")

    def breaks(result: Any) -> Any:
        result.grads["W_hh"][31, 7] *= -1
        return result

    batch = make_batch(model)
    worst = sr.check_gradients(broken(model, breaks), **batch)["W_hh"].worst
    assert worst.at == (31, 7) and worst.ratio == pytest.approx(-1)


def test_input_and_state_gradients_are_checked_at_their_batch_first_position() -> None:
    def breaks(result: Any) -> Any:
        result.grads_x[2, 5, 1] = 0
        result.grads_h0[3, 4] *= -1
        return result

    model = broken(make_model(), breaks)
    report = sr.check_gradients(model, **make_batch(model))
    assert [t.name for t in report.tensors if t.verdict == "FAIL"] == ["h0", "x"]
    assert report["x"].worst.at == (2, 5, 1) and report["x"].worst.ratio == 0
    assert report["h0"].worst.at == (3, 4)
    assert "(gradient is zero)" in str(report) and "(sign flipped)" in str(report)


class CutAtTen(sr.VanillaRNN):
    """Backpropagation silently cut to the last ten steps."""

    def loss_and_grads(
        self, x: Any, target: Any, h0: Any = None, steps: Any = "all", *more: Any, **options: Any
    ) -> Any:
        full = super().loss_and_grads(x, target, h0=h0, steps=steps, **options)
        state = self.forward(x[:, :-10], h0).h_last
        cut = super().loss_and_grads(x[:, -10:], target, h0=state, steps=steps, **options)
        full.grads_h0[...] = 0
        full.grads_x[:, :-10] = 0
        return full._replace(grads=cut.grads)


def test_a_backward_cut_to_the_last_ten_of_forty_steps_fails() -> None:
    model = CutAtTen(D, 6, O, backend="numpy")
    set_radius(model, 0.5)
    batch = make_batch(model, "last", time=40)
    report = sr.check_gradients(model, **batch)
    failed = [t.name for t in report.tensors if t.verdict == "FAIL"]
    assert failed == ["W_xh", "W_hh", "b_h", "h0", "x"], report
    # The gradient of h0 has shrunk below anything finite differences can see: they must not call zero right.
    assert report["h0"].comparisons["finite differences"].verdict == "INCONCLUSIVE"


def test_not_a_number_fails() -> None:
    model = broken(make_model(), scaled("W_hh", np.nan))
    report = sr.check_gradients(model, **make_batch(model))
    assert report["W_hh"].verdict == "FAIL" and "not finite" in str(report)


# Where methods reach their limits.


def test_chaos_breaks_perturbations_but_not_the_adjoint() -> None:
    model = sr.VanillaRNN(D, 40, O, backend="numpy")
    model.params["W_hh"] = np.random.default_rng(0).normal(size=(40, 40))
    set_radius(model, 3.0)
    batch = make_batch(model, time=200)
    batch["x"] *= 0.01
    report = sr.check_gradients(model, **batch)
    assert report, report
    assert report["W_hh"].norm > 1e3  # it did explode
    verdicts = {method: report["W_hh"].comparisons[method].verdict for method in METHODS}
    assert verdicts == {"finite differences": "INCONCLUSIVE", "complex step": "INCONCLUSIVE", "adjoint": "PASS"}
    assert not sr.check_gradients(broken(model, scaled("W_hh", -1)), **batch)


def test_saturation_is_reported_and_is_no_failure() -> None:
    model = make_model()
    batch = make_batch(model)
    batch["x"] *= 50
    report = sr.check_gradients(model, **batch)
    assert report, report
    assert report.saturated > 0.8 and "% of h saturated" in str(report)


def test_a_gradient_below_float32_is_compared_as_zero_and_called_underflow() -> None:
    model = make_model(radius=0.5, dtype="float32")
    report = sr.check_gradients(model, **make_batch(model, "last", time=200))
    assert report, report
    assert report["h0"].norm == 0 and report["h0"].note == "underflow" and "(underflow)" in str(report)


def test_a_gradient_of_zero_where_it_only_vanishes_fails() -> None:
    """The trap for absolute tolerances: |∂L/∂h0| is 1e-13, far below any of them, and not 0."""

    def breaks(result: Any) -> Any:
        result.grads_h0[...] = 0
        return result

    model = make_model(radius=0.5)
    batch = make_batch(model, "last", time=30)
    honest = np.abs(model.loss_and_grads(**batch).grads_h0).max()
    assert 0 < honest < 1e-8
    report = sr.check_gradients(broken(model, breaks), **batch)
    assert [t.name for t in report.tensors if t.verdict == "FAIL"] == ["h0"]


# The report.


def test_report_reads_as_a_table() -> None:
    model = make_model()
    report = sr.check_gradients(model, **make_batch(model))
    text = str(report)
    for word in ("tensor", "shape", "norm", *METHODS, "verdict", "worst entry", "analytic", "reference", "ratio"):
        assert word in text
    for word in ("step 1e-30", "step 1.2e-05", "tolerance", "noise floor", "saturated", "PASS: 7 PASS of 7 tensors"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120
    with pytest.raises(KeyError, match="no tensor 'W'"):
        report["W"]


def test_raise_exception_carries_the_report() -> None:
    model = broken(make_model(), scaled("W_hh", -1))
    with pytest.raises(sr.GradientCheckError, match="W_hh") as caught:
        sr.check_gradients(model, **make_batch(model), raise_exception=True)
    assert not caught.value.report
    assert str(pickle.loads(pickle.dumps(sr.GradientCheckError(caught.value.report)))) == str(caught.value)


def test_a_tighter_tolerance_can_be_asked_for() -> None:
    model = make_model()
    report = sr.check_gradients(model, **make_batch(model), tolerance=1e-18)
    assert {t.verdict for t in report.tensors} == {"INCONCLUSIVE"} and not report
    assert "INCONCLUSIVE" in str(report).splitlines()[-1]


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
def test_reference_errors_at_length_200(radius: float) -> None:
    model = make_model(radius=radius)
    report = sr.check_gradients(model, **make_batch(model, time=200))
    assert report, report
    for t in report.tensors:
        assert t.comparisons["complex step"].error <= 1e-12 and t.comparisons["adjoint"].error <= 1e-12


def test_a_vanishing_part_of_the_input_gradient_is_checked_on_its_own_scale() -> None:
    def breaks(result: Any) -> Any:
        result.grads_x[:, :20] = 0
        return result

    model = make_model(radius=0.3)
    batch = make_batch(model, "last", time=40)
    grads_x = model.loss_and_grads(**batch, inputs=True).grads_x
    assert 0 < np.linalg.norm(grads_x[:, :20]) < 1e-12 * np.linalg.norm(grads_x)
    assert sr.check_gradients(model, **batch)
    assert sr.check_gradients(broken(model, breaks), **batch)["x"].verdict == "FAIL"


def test_steps_that_reach_no_loss_are_exactly_zero_and_pass() -> None:
    model = make_model()
    batch = {**make_batch(model), "steps": np.arange(7) < 2}
    report = sr.check_gradients(model, **batch)
    assert report, report
    model.params["W_hy"][...] = 0
    assert sr.check_gradients(model, **batch)["h0"].note == "exactly 0"


@pytest.mark.parametrize("tolerance", [float("nan"), float("inf"), 0, -1.0])
def test_a_tolerance_that_would_pass_anything_is_refused(tolerance: float) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="tolerance must be above 0 and finite"):
        sr.check_gradients(model, **make_batch(model), tolerance=tolerance)


def test_missing_gradients_are_refused() -> None:
    def without_b_y(result: Any) -> Any:
        return result._replace(grads={name: g for name, g in result.grads.items() if name != "b_y"})

    model = make_model()
    with pytest.raises(ValueError, match="one gradient per parameter; missing or unknown: b_y"):
        sr.check_gradients(broken(model, without_b_y), **make_batch(model))
    with pytest.raises(ValueError, match="must return grads_h0 and grads_x"):
        sr.check_gradients(broken(make_model(), lambda r: r._replace(grads_x=None)), **make_batch(model))


def test_many_layers_keep_their_own_states() -> None:
    model = sr.SequenceModel([sr.RNN(2, 2) for _ in range(12)] + [sr.Linear(2, 1)], backend="numpy")
    report = sr.check_gradients(model, **make_batch(model))
    assert report, report
    assert report["h0[10]"].verdict == "PASS"


def test_gradients_of_another_shape_are_refused() -> None:
    def breaks(result: Any) -> Any:
        return result._replace(grads_h0=result.grads_h0.T)

    model = broken(make_model(), breaks)
    with pytest.raises(ValueError, match="gradient of h0 has shape"):
        sr.check_gradients(model, **make_batch(model))


def test_wrong_arguments_leave_the_model_alone() -> None:
    model = make_model()
    batch = make_batch(model)
    before = model.params.vector.copy()
    with pytest.raises(ValueError, match="features"):
        sr.check_gradients(model, **{**batch, "x": batch["x"][..., :2]})
    assert difference(model.params.vector, before) == 0


def test_an_encoder_decoder_is_checked_half_by_half() -> None:
    encoder = sr.SequenceModel([sr.RNN(3, 5), sr.Linear(5, 2)], backend="numpy")
    decoder = sr.SequenceModel(
        [sr.Embedding(5, 6), sr.RNN(6, 5), sr.Linear(5, 4)], loss="cross_entropy", backend="numpy"
    )
    model = sr.EncoderDecoder(encoder, decoder, 7)
    with pytest.raises(TypeError, match="check model.encoder and model.decoder"):
        sr.check_gradients(model, np.zeros((2, 5, 3)), np.zeros((2, 7), int))
