# %% [markdown]
# # 01 · The equations
#
# **You will learn**
#
# - how a recurrent neural network (RNN) reads a sequence, in three lines of NumPy;
# - the name and the shape of every array in it, here and in the rest of the library;
# - what a loss, a gradient, a minibatch and an epoch are, and how the network learns to continue a sine wave;
# - that one-to-many, many-to-one and many-to-many are the same network with different steps counted.
#
# You need NumPy. You need no machine learning. "The chapter" is the textbook chapter on RNNs that this library follows.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.plots.style import BLUE, GREY, VERMILLION, style
from scratchrnn.tasks import sine

QUICK = os.environ.get("SCRATCHRNN_QUICK") == "1"  # a shorter run, for tests

# %% [markdown]
# ## A network with a memory
#
# A sequence arrives one element at a time: $x_0, x_1, x_2, \dots$ The network keeps a list of numbers, the **hidden
# state** $h$. At every step it makes a new state from the old one and from what has just arrived:
#
# $$h_t = \tanh(W_{hh} \cdot h_{t-1} + W_{xh} \cdot x_t + b_h)$$
#
# Then it says something about what it has read so far, the **output**:
#
# $$y_t = W_{hy} \cdot h_t + b_y$$
#
# That is all. Drawn step after step ("unrolled in time"):
#
# ```
#          y_0            y_1            y_2
#           ↑              ↑              ↑
#  h0 ──→  h_0  ──W_hh──→ h_1  ──W_hh──→ h_2  ──→ …
#           ↑              ↑              ↑
#          x_0            x_1            x_2
# ```
#
# `h0` at the left is the state before anything was read; mostly it is all zeros.
#
# | symbol | shape | what it is |
# | --- | --- | --- |
# | $x_t$ | `(D,)` | the input at step $t$: D numbers |
# | $h_t$ | `(H,)` | the hidden state after $x_t$: H numbers, each between −1 and 1 |
# | $y_t$ | `(O,)` | the output at step $t$: O numbers |
# | $W_{xh}$ | `(H, D)` | from the input to the state |
# | $W_{hh}$ | `(H, H)` | from the old state to the new one: this is where the memory sits |
# | $b_h$ | `(H,)` | added to every state, the bias |
# | $W_{hy}$ | `(O, H)` | from the state to the output |
# | $b_y$ | `(O,)` | the bias of the output |
#
# `W_xh` reads "from x to h". The five arrays at the bottom are the **parameters**: what the network can learn.

# %% [markdown]
# ## By hand
#
# Four steps, two numbers at each, three hidden units, one output. The parameters are drawn at random.

# %%
T, D, H, O = 4, 2, 3, 1
rng = np.random.default_rng(0)
W_xh, W_hh, b_h = rng.normal(size=(H, D)), rng.normal(size=(H, H)), rng.normal(size=H)
W_hy, b_y = rng.normal(size=(O, H)), rng.normal(size=O)
x = rng.normal(size=(T, D))

h = np.zeros(H)
outputs = []
for t in range(T):
    h = np.tanh(W_hh @ h + W_xh @ x[t] + b_h)
    y = W_hy @ h + b_y
    outputs.append(y)
    print(f"t = {t}   x_t = {x[t].round(2)}   h_t = {h.round(2)}   y_t = {y.round(2)}")

# %% [markdown]
# The library does the same. A `VanillaRNN` holds the five arrays under their names. It works on many sequences at
# once, so `x` has one more axis in front: `(N, T, D)` for N sequences, which are called the **rows** of a **batch**.
# Here N = 1.

# %%
model = sr.VanillaRNN(input_size=D, hidden_size=H, output_size=O)
for name, array in {"W_xh": W_xh, "W_hh": W_hh, "b_h": b_h, "W_hy": W_hy, "b_y": b_y}.items():
    model.params[name] = array

out = model.forward(x[None])
print("y", out.y.shape, out.y[0, :, 0].round(2))
print("h", out.h.shape)
np.testing.assert_allclose(out.y[0], outputs, rtol=1e-12)
print(model)

# %% [markdown]
# **Question.** The sequence above has 4 steps. How many parameters does it take to read one of 1,000 steps?
#
# <details><summary>Answer</summary>
#
# As many: H·D + H·H + H + O·H + O = 6 + 9 + 3 + 3 + 1 = 22 parameters. Every step uses the same five arrays. This is
# called *weight sharing*. It is why one network can read a sequence of any length.
#
# </details>

# %% [markdown]
# ## How long does it remember?
#
# Let one pulse arrive at step 0 and nothing after it. What is left of it in the state at later steps? The picture
# shows how far the states with and without the pulse are apart. Two networks that differ only in the size of
# $W_{hh}$:

# %%
pulse = np.zeros((1, 40, 1))
pulse[0, 0] = 1.0
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for size, colour in ((0.6, VERMILLION), (0.95, BLUE)):
    echo = sr.VanillaRNN(1, 20, 1, init="orthogonal", seed=1)
    echo.params["W_hh"] *= size  # an orthogonal matrix keeps lengths; now each step keeps this fraction
    apart = echo.forward(pulse).h - echo.forward(0 * pulse).h
    ax.semilogy(np.linalg.norm(apart[0], axis=1), color=colour, label=f"each step keeps at most {size:.0%}")
style(ax, "What is left of a pulse at step 0", "time step $t$", "distance of the states")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The memory fades, step by step, by about the same factor. Notebook 04 is about this picture and what it does to
# learning.
#
# **Question from the chapter.** How does the hidden state of an RNN differ from a hidden layer of an ordinary network?
#
# <details><summary>Answer</summary>
#
# A hidden *layer* is computed afresh from one input, and forgotten: show it the same input twice and it gives the
# same numbers. The hidden *state* is computed from the input **and from itself one step ago**. It depends on
# everything that was read before, and so on the order. Unrolled in time, an RNN looks like a deep network with one
# hidden layer per step; but all those layers share the same weights, each of them receives a new input, and there may
# be any number of them.
#
# </details>

# %% [markdown]
# ## How wrong is it? The loss
#
# To learn, the network is told what it should have said: the **target**, which the chapter writes $\hat y_t$. The
# **loss** is one number that says how wrong the outputs are. Here it is the squared error, averaged over the steps
# (and over outputs and rows):
#
# $$L = \frac{1}{T} \sum_t L_t \qquad L_t = (y_t - \hat y_t)^2$$

# %%
target = np.zeros((1, T, O))
by_hand = np.mean((np.array(outputs) - target[0]) ** 2)
print(f"by hand {by_hand:.6f}   model.loss {model.loss(x[None], target):.6f}")
assert np.isclose(by_hand, model.loss(x[None], target), rtol=1e-12)

# %% [markdown]
# **Question.** What is the loss of a network that always answers with the target? Can a loss be negative here?
#
# <details><summary>Answer</summary>
#
# It is 0, the least there is: a mean of squares is never negative.
#
# </details>
#
# ## Which way is downhill? The gradient
#
# Turn one parameter a little and the loss changes a little. The ratio of the two is the slope of the loss with
# respect to that parameter, its **derivative**. All the slopes together, one for each of the 22 numbers, are the
# **gradient**. The library computes them at once with `loss_and_grads`. Below, only the number `W_hh[0, 0]` moves;
# the straight line has the slope that the library gave.

# %%
r = model.loss_and_grads(x[None], target)
print({name: grad.shape for name, grad in r.grads.items()})
here, slope = model.params["W_hh"][0, 0], r.grads["W_hh"][0, 0]
values, losses = here + np.linspace(-2, 2, 81), []
for value in values:
    model.params["W_hh"][0, 0] = value
    losses.append(model.loss(x[None], target))
model.params["W_hh"][0, 0] = here

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.plot(values, losses, color=BLUE, label="loss")
near = values[abs(values - here) < 0.7]
ax.plot(near, r.loss + slope * (near - here), "--", color=VERMILLION, label=f"slope {slope:.3f}, from loss_and_grads")
ax.plot(here, r.loss, "o", color=VERMILLION)
style(ax, "The loss as one parameter moves", "value of W_hh[0, 0]", "loss")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# To lower the loss, move every parameter a small step *against* its slope, and repeat. That is learning:
#
# $$\theta \leftarrow \theta - \eta \, \frac{\partial L}{\partial \theta}$$
#
# $\theta$ stands for any parameter. $\eta$ is the **learning rate**, a small number such as 0.01. Notebook 02 shows
# where the gradient comes from, number by number.

# %% [markdown]
# ## Learning a sine wave
#
# The chapter's first program: from 50 points of a sine, say the next one. Each window of 50 points is a row. The
# first 80 % of the windows are for training; the rest are kept for the test, since a network that only recites is of
# no use.

# %%
data = sine.data()
print("x", data.x.shape, "target", data.target.shape, "— and for the test", data.x_test.shape, data.target_test.shape)

# %% [markdown]
# Three more words. Instead of all 760 rows, every update of the parameters looks at 32 of them, a **minibatch**: that
# is faster, and the slope is nearly the same. When every row had its turn, an **epoch** is over. The rule that turns
# a gradient into a step is the **optimizer**; `Adam` is one that chooses a step size for every parameter by itself.
# `steps="last"` says that only the output after the last point of a window counts.

# %%
model = sr.VanillaRNN(input_size=1, hidden_size=32, output_size=1)
history = sr.fit(
    model,
    data.x,
    data.target,
    steps="last",
    epochs=10 if QUICK else 100,
    batch_size=32,
    optimizer=sr.Adam(0.01),
    validation=(data.x_test, data.target_test),
    progress=False,
)
history.plot()
plt.show()
print(f"loss on the test windows: {history.val_loss[-1]:.1e}")
assert history.val_loss[-1] < 1e-2

# %% [markdown]
# The loss axis is logarithmic: each line down is a better network by a factor. "Validation" is the loss on windows
# that it was not trained on.

# %%
plots.plot_prediction(data.wave, model.predict(data.x_test, steps="last"))
plt.show()

# %% [markdown]
# **Question.** Above, every prediction is made from 50 *true* points. What if the network continues from its own
# predictions? Say what you expect, then look.
#
# <details><summary>Answer</summary>
#
# Each small error enters the next window, so errors add up: the phase drifts, and after some periods the curve may be
# off by a good part of a period although each single step was nearly perfect.
#
# </details>

# %%
window, continued = data.x_test[0].copy(), []  # (50, 1)
for _ in range(190):
    continued.append(model.predict(window[None], steps="last")[0])
    window = np.concatenate([window[1:], continued[-1][None]])

fig, ax = plt.subplots(figsize=(9, 2.8), layout="constrained")
ax.plot(data.target_test[:, 0], color=GREY, linewidth=2.5, alpha=0.6, label="sine")
ax.plot(np.array(continued)[:, 0], "--", color=VERMILLION, label="continued from its own predictions")
style(ax, "", "steps after the last true point", "value")
ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
plt.show()

# %% [markdown]
# ## One network, every kind of task
#
# The chapter sorts tasks by what goes in and what comes out. The equations do not change; only the steps whose
# outputs count in the loss do. That is the argument `steps`: `"all"`, `"last"`, or a list of true and false, a
# **mask**.

# %%
T = 6
kinds = {  # the steps at which an input arrives, and those whose output counts
    "one to one": ([0], [0]),
    "one to many\n(music from a first note)": ([0], range(T)),
    "many to one\n(the sine)": (range(T), [T - 1]),
    "many to many, in step\n(a tag for every word)": (range(T), range(T)),
    "many to many, delayed\n(read, then answer)": (range(3), range(3, T)),
}
fig, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
for row, (steps_in, steps_out) in enumerate(kinds.values()):
    shown = 1 if row == 0 else T
    ax.plot(range(shown), [row] * shown, "-", color=GREY, linewidth=1, zorder=0)
    ax.scatter(range(shown), [row] * shown, s=90, color="white", edgecolor=GREY)
    ax.scatter(steps_in, [row + 0.28] * len(steps_in), marker="^", color=BLUE, label="input" if row == 0 else None)
    ax.scatter(steps_out, [row - 0.28] * len(steps_out), marker="s", color=VERMILLION, label=None if row else "counts")
ax.set_yticks(range(len(kinds)), list(kinds))
ax.invert_yaxis()
style(ax, "", "time step $t$  (circles: the hidden state)", "", grid=False)
ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
plt.show()

# %% [markdown]
# In code, with one model for all. Where no input arrives, `x` is 0; where no output counts, the target is never read,
# so it may hold anything, even NaN ("not a number").

# %%
model = sr.VanillaRNN(2, 5, 1)
x, target = rng.normal(size=(3, T, 2)), rng.normal(size=(3, T, 1))
first_only = x * (np.arange(T) == 0)[:, None]
delayed = np.arange(T) >= 3
only_answers = np.where(delayed[:, None], target, np.nan)

losses = {
    "one to one": model.loss(x[:, :1], target[:, :1]),
    "one to many": model.loss(first_only, target, steps="all"),
    "many to one": model.loss(x, target[:, -1], steps="last"),
    "many to many, in step": model.loss(x, target, steps="all"),
    "many to many, delayed": model.loss(x, only_answers, steps=delayed),
}
for kind, loss in losses.items():
    print(f"{kind:<24} loss {loss:.4f}")
assert np.isfinite(list(losses.values())).all()

# %% [markdown]
# **Question.** Can a network of this kind tag a word by the word that comes *after* it?
#
# <details><summary>Answer</summary>
#
# No. $y_t$ depends on $x_0 \dots x_t$ alone: look at the arrows of the unrolled drawing. A second network that reads
# from the end to the beginning can see what comes after. Both side by side are a *bidirectional* RNN: `sr.RNN(…,
# bidirectional=True)`.
#
# </details>
#
# **Next.** The same equations in the library, forward and backward on one screen:
# [scratchrnn/layers/rnn.py](../scratchrnn/layers/rnn.py); `steps` is [scratchrnn/_steps.py](../scratchrnn/_steps.py).
# [Notebook 02](02_bptt_by_hand.py) computes a gradient with pencil and paper.
