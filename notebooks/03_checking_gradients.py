# %% [markdown]
# # 03 · Checking gradients, and catching a planted bug
#
# **You will learn**
#
# - why a wrong gradient is hard to notice, and why it must be checked by other means than training;
# - four ways to compute a slope: backpropagation, finite differences, the complex step, the adjoint test;
# - how exact each of them is, and where each of them fails;
# - how to let `sr.check_gradients` do it, and to read what it says.
#
# Loss, gradient and learning rate are explained in [notebook 01](01_equations.py), BPTT in
# [notebook 02](02_bptt_by_hand.py).

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import scratchrnn as sr
from scratchrnn.plots.style import BLUE, GREEN, GREY, VERMILLION, style
from scratchrnn.tasks import sine

QUICK = os.environ.get("SCRATCHRNN_QUICK") == "1"  # a shorter run, for tests

# %% [markdown]
# ## A wrong gradient learns, too
#
# Let us plant a bug. `spoil` takes a model and makes its `loss_and_grads` change the gradients before it returns
# them. (In Python a function that is assigned to an object hides the method of that name.) Training calls that same
# function, so it learns with the wrong gradient.


# %%
def spoil(model, change):
    """The model, whose gradients now pass through change(grads)."""
    right = model.loss_and_grads

    def wrong(*args, **options):
        r = right(*args, **options)
        change(r.grads)
        return r

    model.loss_and_grads = wrong
    return model


def flip_rows(grads):
    """The bug: a sign is wrong in a tenth of W_hh."""
    grads["W_hh"][:3] *= -1


data, curves = sine.data(), {}
for name, change in {"right": lambda grads: None, "with a bug": flip_rows}.items():
    model = spoil(sr.VanillaRNN(1, 32, 1), change)
    options = {"steps": "last", "epochs": 5 if QUICK else 40, "progress": False}
    curves[name] = sr.fit(model, data.x, data.target, optimizer=sr.Adam(0.001), **options).loss

# %%
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for (name, losses), colour, line in zip(curves.items(), (BLUE, VERMILLION), ("-", "--"), strict=True):
    ax.semilogy(np.arange(1, len(losses) + 1), losses, line, color=colour, label=name)
style(ax, "Training on the sine", "epoch", "loss")
ax.legend(frameon=False, title="gradient")
plt.show()
assert curves["with a bug"][-1] < 0.5 * curves["with a bug"][0]

# %% [markdown]
# The curves nearly coincide: the other parameters make up for what those three rows do wrong. Who sees the red one
# alone notices nothing. A falling loss proves nothing about a gradient.
#
# ## Finite differences
#
# The oldest check: move one number $\theta$ by a small $\varepsilon$ to both sides and see how the loss changes.
#
# $$\frac{\partial L}{\partial \theta} \approx \frac{L(\theta + \varepsilon) - L(\theta - \varepsilon)}{2\varepsilon}$$
#
# It needs the loss alone. Here is the loss of a small network written straight from the equations, for one row:

# %%
T, D, H, O = 7, 3, 5, 2
rng = np.random.default_rng(0)
model = sr.VanillaRNN(D, H, O, backend="numpy")
x, target, h0 = rng.normal(size=(T, D)), rng.normal(size=(T, O)), rng.normal(size=H)


def loss_of(W_hh):
    """The loss as a function of W_hh, everything else as it is in the model."""
    p, h, total = model.params, h0, 0
    for t in range(T):
        h = np.tanh(W_hh @ h + p["W_xh"] @ x[t] + p["b_h"])
        error = p["W_hy"] @ h + p["b_y"] - target[t]
        total = total + (error**2).mean()
    return total / T


W_hh = model.params["W_hh"].copy()
r = model.loss_and_grads(x[None], target[None], h0[None])
print(f"loss {loss_of(W_hh):.12f}, from the model {r.loss:.12f}")

# %%
one = np.zeros((H, H))
one[1, 2] = 1.0  # the entry to move
eps = 1e-5
difference = (loss_of(W_hh + eps * one) - loss_of(W_hh - eps * one)) / (2 * eps)
print(f"by finite differences  {difference:.15f}\nby backpropagation     {r.grads['W_hh'][1, 2]:.15f}")

# %% [markdown]
# About ten digits agree. Why not all? Try other values of $\varepsilon$. The picture also has the one-sided difference,
# $(L(\theta + \varepsilon) - L(\theta)) / \varepsilon$.

# %%
exact = r.grads["W_hh"][1, 2]
sizes = np.logspace(0, -15, 61)
central = [(loss_of(W_hh + e * one) - loss_of(W_hh - e * one)) / (2 * e) for e in sizes]
one_sided = [(loss_of(W_hh + e * one) - loss_of(W_hh)) / e for e in sizes]

fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for values, colour, label in ((one_sided, VERMILLION, "one-sided"), (central, BLUE, "central")):
    ax.loglog(sizes, np.abs(np.array(values) / exact - 1) + 1e-17, ".-", color=colour, label=label)
ax.set_ylim(1e-13, 10)
style(ax, "Error of finite differences", r"$\varepsilon$", "relative error")
ax.legend(frameon=False)
plt.show()
best = sizes[np.argmin(np.abs(np.array(central) / exact - 1))]
assert 1e-7 < best < 1e-3

# %% [markdown]
# Each curve is a U (or a V, since both axes are logarithmic). On the right, $\varepsilon$ is too large and the loss
# is not straight: the central error falls as $\varepsilon^2$. On the left, $\varepsilon$ is too small: the two losses
# are so alike that their difference consists of rounding. A float64 has 16 digits; if 10 of them cancel, 6 remain.
# The best is in between, and it is far from 16 digits.
#
# **Question.** A colleague takes $\varepsilon = 10^{-12}$ "to be exact". Read off the picture what he gets.
#
# <details><summary>Answer</summary>
#
# An error between $10^{-4}$ and $10^{-3}$: worse than with $\varepsilon = 10^{-2}$. About twelve of the sixteen digits
# cancel in the difference.
#
# </details>
#
# ## The complex step
#
# A trick gets rid of the subtraction. Move $\theta$ in the *imaginary* direction, by $i\varepsilon$. For a smooth
# function,
#
# $$L(\theta + i\varepsilon) = L(\theta) + i\varepsilon\,\frac{\partial L}{\partial \theta}
# - \frac{\varepsilon^2}{2}\,\frac{\partial^2 L}{\partial \theta^2} - \dots$$
#
# The slope sits alone in the imaginary part, so nothing cancels and $\varepsilon$ may be as small as $10^{-30}$.
# NumPy computes with complex numbers, so `loss_of` runs as it is:

# %%
step = loss_of(W_hh + 1e-30j * one).imag / 1e-30
print(f"by the complex step    {step:.17f}\nby backpropagation     {exact:.17f}")
assert abs(step / exact - 1) < 1e-12

# %% [markdown]
# **Question.** Would it work with `abs(error)` in the loss, in place of `error**2`?
#
# <details><summary>Answer</summary>
#
# No. `abs` of a complex number is its length, a real number, and the imaginary part with the slope in it is lost
# without a word. `np.linalg.norm` does the same, and clipping uses a norm: check gradients before they are clipped.
#
# </details>
#
# ## The adjoint test
#
# Both ways run the network a second time, a little changed: by $\varepsilon$, or by the rounding of complex numbers
# in the 16th digit. In a long and wild network such a change grows at every step, and soon the second run has nothing
# to do with the first. The third way changes nothing; it uses the states that the first run left. Choose a direction
# $v$ for $W_{hh}$, and ask how fast each *state* moves in that direction, $\dot h_t$. The chain rule answers from
# left to right:
#
# $$\dot h_t = (1 - h_t^2) \odot (v \cdot h_{t-1} + W_{hh} \cdot \dot h_{t-1}) \qquad \dot y_t = W_{hy} \cdot \dot h_t$$
#
# The loss then changes by $\sum_t \frac{\partial L}{\partial y_t} \cdot \dot y_t$. Backpropagation, from right to
# left, says that it changes by the sum of (gradient times $v$). The two must be the same number.

# %%
v = rng.normal(size=(H, H))
out = model.forward(x[None], h0[None])
y, h = out.y[0], np.vstack([h0, out.h[0]])  # h[t + 1] is the state after x[t]

dh, change = np.zeros(H), 0.0
for t in range(T):
    dh = (1 - h[t + 1] ** 2) * (v @ h[t] + model.params["W_hh"] @ dh)
    change += 2 / (T * O) * (y[t] - target[t]) @ (model.params["W_hy"] @ dh)
print(f"left to right  {change:.15f}\nright to left  {(r.grads['W_hh'] * v).sum():.15f}")
assert np.isclose(change, (r.grads["W_hh"] * v).sum(), rtol=1e-12)

# %% [markdown]
# ## All of them at once
#
# `sr.check_gradients` does the three for every parameter, for the first state and for the inputs. A verdict needs two
# numbers: the error, and the **noise floor**, how far the method itself can be trusted. Where the floor is above the
# tolerance, the method says INCONCLUSIVE and not PASS.

# %%
x, target = rng.normal(size=(4, T, D)), rng.normal(size=(4, T, O))
report = sr.check_gradients(model, x, target, progress=False)
print(report)
assert report

# %% [markdown]
# **Question.** The rows, steps, inputs, units and outputs here are 4, 7, 3, 5, 2. Why five different numbers? And why
# does the check begin from a random first state?
#
# <details><summary>Answer</summary>
#
# A matrix that is transposed by mistake still fits where two sizes are equal, and a factor 1/T in place of 1/N still
# gives the right number where T = N. With h0 = 0 the first step adds nothing to the gradient of `W_hh` (notebook 02),
# so a mistake there stays hidden; with T = 1 no gradient flows through time at all. A check is only as good as the
# case that it is shown.
#
# </details>
#
# ## Three bugs
#
# **A flipped sign** in one of 25 entries. Look for FAIL, and for the line that names the entry and guesses the reason.


# %%
def flip_one(grads):
    """One entry of W_hh with the wrong sign."""
    grads["W_hh"][1, 2] *= -1


report = sr.check_gradients(spoil(sr.VanillaRNN(D, H, O, seed=1), flip_one), x, target, progress=False)
print(report)
assert report["W_hh"].verdict == "FAIL" and report["W_hh"].worst.at == (1, 2)

# %% [markdown]
# **A factor of 1 + 10⁻⁹** on the gradient of `b_h`. Nobody would see it in training. Finite differences do not see it
# either; the two exact methods do.


# %%
def verdicts(report):
    """One line per tensor: what each method says."""
    for tensor in report.tensors:
        said = "   ".join(f"{c.error:7.0e} {c.verdict:<12}" for c in tensor.comparisons.values())
        print(f"{tensor.name:<5} {said}")


def scale(grads):
    """All of b_h too large by 1 part in 10⁹."""
    grads["b_h"][...] *= 1 + 1e-9


report = sr.check_gradients(spoil(sr.VanillaRNN(D, H, O, seed=1), scale), x, target, progress=False)
print(f"{'':5} {'finite differences':<23}{'complex step':<23}adjoint")
verdicts(report)
said = {method: c.verdict for method, c in report["b_h"].comparisons.items()}
assert said == {"finite differences": "PASS", "complex step": "FAIL", "adjoint": "FAIL"}

# %% [markdown]
# **Question.** Is an error of one part in 10⁹ worth finding?
#
# <details><summary>Answer</summary>
#
# The number itself, no. But a correct backward pass agrees to 10⁻¹⁵, so 10⁻⁹ means that the code does something else
# than the equations say: a term left out, a constant rounded, a state in low precision. In another network, or a
# longer sequence, the same mistake may be large.
#
# </details>
#
# **A backward pass cut short.** It stops after the last 20 of 40 steps, as if nothing earlier mattered. In a network
# that forgets, that is almost true. To plant this one, the first 20 steps only run forward:

# %%
long, last = rng.normal(size=(4, 40, D)), rng.normal(size=(4, O))
model = sr.VanillaRNN(D, H, O, init="orthogonal", seed=2)
model.params["W_hh"] *= 0.55  # forgets: about half of it at every step
right = model.loss_and_grads


def cut(x, target, h0, steps, inputs):
    """loss_and_grads of the last 20 steps, which takes the state before them for granted."""
    r = right(x[:, 20:], target, model.forward(x[:, :20], h0).h_last, steps=steps, inputs=True)
    return r._replace(grads_h0=np.zeros_like(h0), grads_x=np.pad(r.grads_x, [(0, 0), (20, 0), (0, 0)]))


model.loss_and_grads = cut
report = sr.check_gradients(model, long, last, steps="last", progress=False)
print(f"{'':5} {'finite differences':<23}{'complex step':<23}adjoint")
verdicts(report)
assert not report

# %% [markdown]
# Read the line of `W_hh`. The missing part is so small that finite differences let it pass; the exact methods see it.
# The line of `h0` is plain: its gradient must not be zero.
#
# ## A tolerance must be relative
#
# One more trap. The true gradient of the first state above is tiny, since forty steps have gone over it. Compare it
# with zero in the way most tests do:

# %%
true = right(long, last, np.ones((4, H)), steps="last").grads_h0
print(f"norm of ∂L/∂h0: {np.linalg.norm(true):.1e}")
print("np.allclose(true, 0):", np.allclose(true, 0))
assert np.allclose(true, 0) and np.linalg.norm(true) > 0

# %% [markdown]
# `allclose` has an absolute tolerance of 10⁻⁸, so that it takes any vanishing gradient for zero, and zero for right.
# `sr.check_gradients` compares with the size of the gradient itself and has no absolute tolerance.
#
# ## Where only the adjoint test is left
#
# Make $W_{hh}$ large, and the network is chaotic: the smallest move grows at every step (notebook 08). Watch the
# three errors as the sequence grows longer.

# %%
lengths, errors = (5, 10, 20, 40) if QUICK else (5, 10, 20, 40, 60, 80), {}
for steps in lengths:
    wild = sr.VanillaRNN(D, 20, O, init="orthogonal", backend="numpy")
    wild.params["W_hh"] *= 4.0
    inputs, wanted = rng.normal(size=(4, steps, D)), rng.normal(size=(4, O))
    report = sr.check_gradients(wild, inputs, wanted, steps="last", progress=False)
    for method, comparison in report["h0"].comparisons.items():
        errors.setdefault(method, []).append(comparison.error + 1e-17)

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for (method, values), colour, mark in zip(errors.items(), (VERMILLION, BLUE, GREEN), "sov", strict=True):
    ax.semilogy(lengths, values, marker=mark, color=colour, label=method)
style(ax, "Error of the gradient of h0 in a chaotic network", "length of the sequence, steps", "relative error")
ax.axhline(1, color=GREY, linewidth=0.8)
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
said = [report["h0"].comparisons[method].verdict for method in errors]
assert said == ["INCONCLUSIVE", "INCONCLUSIVE", "PASS"]
assert errors["adjoint"][-1] < 1e-11 < errors["finite differences"][-1]

# %% [markdown]
# At 1, the grey line, nothing is right any more. The gradient is not to blame: the two upper methods look at a second
# run of the network, and by then that is another run. `sr.check_gradients` knows: their noise floors rise along with
# these curves, and they say INCONCLUSIVE.
#
# **Next.** How the three are made and how each one's noise is measured:
# [scratchrnn/gradients/check/check.py](../scratchrnn/gradients/check/check.py) and
# [scratchrnn/gradients/check/references.py](../scratchrnn/gradients/check/references.py). The left-to-right pass is
# `tangent` in [scratchrnn/layers/rnn.py](../scratchrnn/layers/rnn.py). Notebook 04 asks what becomes of a correct
# gradient on its way through a hundred steps.
