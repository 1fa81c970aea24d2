# %% [markdown]
# # 05 · Clipping and the error wall
#
# **You will learn**
#
# - what an exploding gradient looks like: a wall in the landscape of the loss, seen as a picture;
# - what one step on that wall does, and what gradient clipping changes about it;
# - the two ways to clip, and that one keeps the direction and the other bends it;
# - how to choose the limit, and what the library says when it is too late.
#
# Notebook 04 was about products that shrink. This one is about those that grow.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.papers import wall
from scratchrnn.plots.style import BLUE, GREY, VERMILLION, style
from scratchrnn.tasks import temporal_order

QUICK = os.environ.get("SCRATCHRNN_QUICK") == "1"  # a shorter run, for tests

# %% [markdown]
# ## One unit, two homes
#
# The smallest recurrent network has one unit and no input: a number $x$ that is multiplied by $w$, after a sigmoid
# $\sigma$, and shifted by $b$, fifty times. It begins at $x_0 = 0.5$. At the end $\sigma(x_{50})$ should be 0.7:
#
# $$x_t = w \cdot \sigma(x_{t-1}) + b \qquad E = (\sigma(x_{50}) - 0.7)^2$$
#
# Two values of $b$ that differ by 0.002, with the same $w$:

# %%
w, near = 4.94, (-2.576, -2.574)
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
ends = []
for bias, colour, line in zip(near, (BLUE, VERMILLION), ("-", "--"), strict=True):
    x = [0.5]
    for _ in range(50):
        x.append(w / (1 + np.exp(-x[-1])) + bias)
    left.plot(x, line, color=colour, label=f"$b$ = {bias}")
    ends.append((1 / (1 + np.exp(-x[-1])) - 0.7) ** 2)
    print(f"b = {bias}: x_50 = {x[-1]:+.2f}, E = {ends[-1]:.3f}")
b = np.linspace(-3.5, -1.5, 2001)
E, dE_dw, dE_db = wall.error_and_gradient(w, b)
right.plot(b, E, color=GREY)
right.plot(near, ends, "o", color=VERMILLION, label="the two at the left")
style(left, "Fifty steps", "time step $t$", "$x_t$")
style(right, "The error", "bias $b$", "$E$")
left.legend(frameon=False)
right.legend(frameon=False, loc="upper right")
right.set_xticks([-3.5, -3, -2.5, -2, -1.5])
plt.show()
assert ends[0] > 30 * ends[1]

# %% [markdown]
# The unit has two values near which it can stay for ever, a low one and a high one. Which of the two it ends at is
# decided at the very beginning, and between them lies a watershed. Moving $b$ a little moves the watershed across
# $x_0$; fifty steps later the outcome is another one. So $E$ makes a jump that is not quite a jump: a very steep slope.
#
# **Question.** How could you tell from notebook 04 that the slope is steep there?
#
# <details><summary>Answer</summary>
#
# $\partial x_{50} / \partial x_0$ is a product of 50 factors: $w$ times the slope of $\sigma$. At the watershed the
# state lingers near 0.5, where that slope is nearly as large as it can be, 1/4: a factor of
# $4.94 \cdot 0.235 = 1.16$, above 1. Twenty of them in a row make 20.
#
# </details>

# %%
s = 1 / (1 + np.exp(-0.5))
factor = w * s * (1 - s)
assert round(factor, 2) == 1.16 and round(factor**20) == 20

# %% [markdown]
# ## The wall
#
# Let $w$ vary too, and the steep slope becomes a wall through the landscape. On the right is how steep it is: the
# length of the gradient $g = (\partial E / \partial w, \partial E / \partial b)$. The wall is so thin that the picture
# has to show the steepest of 4 × 4 points, or it would be lost.

# %%
surface = wall.surface()
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
plots.plot_surface(surface.w, surface.b, surface.error.T, left, title="The error")
w, b, thick = wall.steepest(surface)
plots.plot_surface(w, b, thick.T, right, title="Its steepness", label=r"$\Vert g\Vert$")
plt.show()
steepest, usual = surface.norm.max(), np.median(surface.norm)
print(f"steepest {steepest:.0f}, usual (the median) {usual:.3f}: {steepest / usual:,.0f} times as much")
assert steepest > 40_000 * usual

# %% [markdown]
# This is figure 6 of Pascanu, Mikolov and Bengio (2013), who explain by such walls why training recurrent networks
# fails so often.
#
# ## One step
#
# Training takes a step against the gradient, $\theta \leftarrow \theta - \eta g$. Its length is
# $\eta \lVert g \rVert$: the steeper, the farther. That is reasonable on a gentle slope. On the wall it is not: the
# slope is valid only very near, and the step leads somewhere else altogether.
#
# **Clipping** is a simple remedy: if $g$ is longer than a limit, shorten it to that limit.
#
# $$g \leftarrow g \cdot \frac{\mathrm{limit}}{\lVert g \rVert} \quad
# \mathrm{if} \; \lVert g \rVert > \mathrm{limit}$$
#
# Two ways down from the same point, a hundred steps each, with $\eta = 0.2$:

# %%
ways = {"not clipped": wall.descend(None), "clipped to 1": wall.descend(1.0)}
zoom = wall.surface(np.linspace(4.3, 6.0, 341), np.linspace(-2.95, -1.05, 381))
ax = plt.subplots(figsize=(7, 4.4), layout="constrained")[1]
plots.plot_surface(zoom.w, zoom.b, zoom.error.T, ax, title="Two ways down", paths=ways)
plt.show()
for name, way in ways.items():
    lengths = np.hypot(*np.diff(way, axis=0).T)
    before, after = (float(wall.error_and_gradient(*point)[0]) for point in (way[0], way[-1]))
    print(f"{name:<13} longest step {lengths.max():.2f}   error {before:.3f} → {after:.3f}")
    assert (lengths.max() > 1) == (name == "not clipped")
np.testing.assert_allclose(*(way[:50] for way in ways.values()), rtol=1e-9)  # the same as long as no step is long
assert wall.error_and_gradient(*ways["clipped to 1"][-1])[0] < wall.error_and_gradient(*ways["not clipped"][-1])[0] / 5

# %% [markdown]
# Both go down into the valley and along the foot of the wall, on the same way, to and fro. Then one touches the wall
# where it is steep. It is thrown across the picture to where the ground is nearly flat, and creeps there. The clipped
# one takes a step of 0.2 and stays in the valley.
#
# **Question.** The limit was 1 and $\eta = 0.2$. How far can clipped training move in a hundred steps, at most?
#
# <details><summary>Answer</summary>
#
# $100 \cdot 0.2 \cdot 1 = 20$. The limit times the learning rate is the longest step. So there is no need to trust a
# gradient beyond the distance at which it means something.
#
# </details>
#
# ## By norm or by value
#
# `clip_by_global_norm` is the formula above, with one length for all parameters together. `clip_by_value` treats every
# entry by itself: what is above the limit becomes the limit.

# %%
g = np.array([3.0, 0.8])
by_norm, by_value = g.copy(), g.copy()
was = sr.clip_by_global_norm(by_norm, 1.0)  # in place; returns the length before
sr.clip_by_value(by_value, 1.0)
np.testing.assert_allclose(by_norm, g / np.linalg.norm(g), rtol=1e-15)
np.testing.assert_array_equal(by_value, np.clip(g, -1, 1))

fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
arrows = {"gradient": (g, GREY), "by norm": (by_norm, BLUE), "by value": (by_value, VERMILLION)}
for name, (arrow, colour) in arrows.items():
    ax.annotate("", arrow, (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 2})
    ax.text(*(arrow + [0.06, -0.05]), name, color=colour, va="center")
    cosine = arrow @ g / np.linalg.norm(arrow) / np.linalg.norm(g)
    print(f"{name:<9} {arrow.round(3)}   turned by {np.degrees(np.arccos(min(cosine, 1))):.1f}°")
style(ax, "", "first entry", "second entry")
ax.set(xlim=(-0.1, 3.7), ylim=(-0.1, 1.05), aspect="equal")
plt.show()
assert np.isclose(was, np.linalg.norm(g), rtol=1e-15)

# %% [markdown]
# The norm keeps the direction: still straight downhill, only less far. The value bends it, because it shortens the
# large entries alone.
#
# ## In training
#
# A task at which gradients explode: a sequence of 20 letters holds two signals, each A or B, among distractors. In
# which order did they come: AA, AB, BA or BB? The first signal must be kept for half of the sequence, so $W_{hh}$ has
# to learn not to forget, and on the way there it can grow too large.

# %%
part = temporal_order.draw(np.random.default_rng(0), 3, 20)
for row, answer in zip(part.x, part.target, strict=True):
    print("".join(temporal_order.SYMBOLS[i] for i in row), "→", temporal_order.CLASSES[answer])

new = temporal_order.draw(np.random.default_rng(1), 2000, 20)
histories, right = {}, {}
for limit in (None, 1.0):
    for seed in range(2 if QUICK else 4):
        model = temporal_order.network(seed=seed)
        settings = {"rate": 0.2, "clip_norm": limit, "epochs": 5, "seed": seed, "progress": False}
        histories[limit, seed], _ = temporal_order.learn(model, 20, **settings)
        right[limit, seed] = temporal_order.metric(model, new)
        updates = histories[limit, seed].updates
        print(f"limit {limit}, seed {seed}: {right[limit, seed]:.0%} right after {updates} updates")
        assert right[limit, seed] < 0.7 if limit is None else right[limit, seed] > 0.95

# %% [markdown]
# Guessing would be right in 25 %. Without clipping the networks get nowhere, however they begin; with clipping they
# solve the task, and training ends as soon as they do. The next picture is the run with clipping and seed 1. Each
# update is a row: left the gradient at every time step, right its length before clipping.

# %%
plain, clipped = histories[None, 1], histories[1.0, 1]
clipped.plot_gradients(clip_norm=1.0)
plt.show()
assert clipped.grad_norm[0] < 1 < max(clipped.grad_norm) and 0.1 < np.mean(clipped.clipped) < 0.9

# %% [markdown]
# At the bottom, before anything is learned, only the last steps (right) receive a gradient: it vanishes. Later it
# reaches the signals, and at times it is many times the limit. An orange dot is an update that was clipped.
#
# Without clipping the steps become long at the same moment. They stay long, and lead nowhere:

# %%
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for history, name, colour in ((plain, "not clipped", VERMILLION), (clipped, "clipped to 1", BLUE)):
    steps = [0.2 * (min(g, 1.0) if history is clipped else g) for g in history.grad_norm]
    ax.semilogy(range(1, 1 + len(steps[:500])), steps[:500], color=colour, linewidth=0.9, label=name)
style(ax, "The length of each step, in the first 500 updates", "update", r"$\eta\,\Vert g\Vert$")
ax.legend(frameon=False, loc="lower left")
plt.show()
assert max(plain.grad_norm[:500]) > 5

# %% [markdown]
# And by value? The same first gradient, clipped both ways until it is short, and then training with
# `fit(clip_value=…)`:

# %%
g = temporal_order.network(seed=0).loss_and_grads(part.x, part.target, steps="last").grads.vector
by_norm, by_value = g.copy(), g.copy()
sr.clip_by_global_norm(by_norm, 0.1)
sr.clip_by_value(by_value, 0.01)
for name, short in (("norm", by_norm), ("value", by_value)):
    cosine = float(short @ g) / sr.global_norm(short) / sr.global_norm(g)
    print(f"by {name:<6} length {sr.global_norm(g):.2f} → {sr.global_norm(short):.2f}, cosine with g {cosine:.3f}")
    assert (cosine > 0.9999) == (name == "norm")

model = temporal_order.network(seed=0)
rest = {"steps": "last", "batch_size": 20, "optimizer": sr.SGD(0.2), "progress": False}
history = sr.fit(model, temporal_order.Fresh(20, seed=0), epochs=3, clip_value=0.01, **rest)
print("loss of each epoch", np.round(history.loss, 2))
assert min(history.loss) < 0.8

# %% [markdown]
# It works as well: the direction is bent, but every entry keeps its sign, so it still leads downhill. What speaks for
# the norm is that its limit is about a length, and lengths can be looked at beforehand.
#
# ## How to choose the limit
#
# Look at how long gradients usually are. `history.grad_norm` has them all, measured before clipping, so any run will
# do; a first short one without a limit is a good start.

# %%
trial = np.array(plain.grad_norm[:250])
quantiles = dict(zip(("10 %", "50 %", "90 %", "99 %"), np.quantile(trial, [0.1, 0.5, 0.9, 0.99]), strict=True))
for share, norm in quantiles.items():
    print(f"{share} of the gradients are shorter than {norm:.2f}")

limits, seeds = ((0.01, 1.0, 100.0), 1) if QUICK else ((0.01, 0.1, 1.0, 10.0, 100.0), 3)
right = {}
for limit in limits:
    right[limit] = []
    for seed in range(seeds):
        model = temporal_order.network(seed=seed)
        temporal_order.learn(model, 20, 0.2, limit, epochs=4, seed=seed, progress=False)
        right[limit].append(temporal_order.metric(model, new))
assert np.mean(right[1.0]) > 0.9 > 0.7 > max(np.mean(right[0.01]), np.mean(right[100.0]))

# %%
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.axvspan(quantiles["10 %"], quantiles["90 %"], color=GREY, alpha=0.2, linewidth=0, label="10 % to 90 % of the norms")
ax.axvline(quantiles["50 %"], color=GREY, linestyle="--", label="median")
for seed, share in enumerate(zip(*right.values(), strict=True)):
    ax.plot(limits, share, "o-", color=BLUE, linewidth=0.8, label="each line a seed" if seed == 0 else None)
ax.axhline(0.25, color=VERMILLION, linestyle=":", label="guessing")
ax.set_xscale("log")
style(ax, "What training reached", "limit of the norm", "share of right answers")
ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(1, 0))
ax.set_ylim(0, 1.05)
plt.show()

# %% [markdown]
# Far below the usual norm, every step is clipped and training crawls. Far above, the limit never acts. Near the usual
# norm, or a little below, is a good place, and it need not be exact. In the paper anything from half to ten times the
# average norm may work; here the lower part of that range is the safe one.
#
# **Question.** All gradients of a run are clipped, from the first to the last. Is that wrong?
#
# <details><summary>Answer</summary>
#
# Not wrong, but different: every step has the same length, $\eta$ times the limit, as if only the direction of the
# gradient counted. Then the limit is a second learning rate, and near the end, where steps should become smaller, they
# do not.
#
# </details>
#
# ## When it is too late
#
# A network of ReLU units has nothing that holds its state back. One long step, and numbers grow beyond what
# `float32` can hold. The library stops before they reach the weights, and says where it saw the first of them.

# %%
layers = [sr.RNN(6, 50, nonlinearity="relu", init="identity"), sr.Linear(50, 4)]
for limit in (None, 1.0):
    model = sr.SequenceModel(layers, loss="cross_entropy", dtype="float32")
    try:
        history = sr.fit(model, temporal_order.Fresh(50, seed=0), epochs=1, clip_norm=limit, **rest)
        print(f"limit {limit}: finished, loss {history.loss[-1]:.2f}")
        assert limit == 1.0 and max(history.grad_norm) > 100
    except sr.NonFiniteError as error:
        print(f"limit {limit}:", error)
        print("norms of the good updates before:", np.round(error.history.grad_norm))
        assert limit is None and error.update < 10
    assert np.isfinite(model.params.vector).all()

# %% [markdown]
# The sentence is for people. For programs there are `error.update`, `error.tensor`, `error.time_step`, and the run up
# to there, `error.history`; the weights are those of the last good update. An infinite gradient cannot be clipped:
# no factor makes it finite. Clipping has to act earlier, while the norm is large and still a number.

# %%
g = np.array([np.inf, 1.0])
try:
    sr.clip_by_global_norm(g, 1.0)
    raise AssertionError("it should have refused")
except FloatingPointError as error:
    print(error)

# %% [markdown]
# **Question.** Does clipping help against vanishing gradients?
#
# <details><summary>Answer</summary>
#
# No. It only shortens. A gradient that has vanished stays so; the remedies of notebook 04 are for that.
#
# </details>
#
# **Next.** Clipping in a few lines: [scratchrnn/gradients/clip.py](../scratchrnn/gradients/clip.py); the wall:
# [scratchrnn/papers/wall.py](../scratchrnn/papers/wall.py); the loop that clips and stops in time:
# [scratchrnn/training/fit.py](../scratchrnn/training/fit.py). [Notebook 06](06_characters.py) trains on
# characters.
