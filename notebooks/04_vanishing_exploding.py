# %% [markdown]
# # 04 · Vanishing and exploding
#
# **You will learn**
#
# - why the gradient of a recurrent network is a long product, and what becomes of long products;
# - how fast it vanishes or explodes, from the largest eigenvalue of $W_{hh}$ and the slope of $\tanh$;
# - how to see which input an output looked at, and which loss a state had a part in;
# - what all this does to learning, and three remedies.
#
# You have read 01 to 03: a gradient is computed from the last step back to the first, and it was checked.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.plots.style import BLUE, GREEN, GREY, ORANGE, VERMILLION, style

QUICK = os.environ.get("SCRATCHRNN_QUICK") == "1"  # a shorter run, for tests

# %% [markdown]
# ## A number times itself
#
# Take 10 % away a hundred times, or add 10 % a hundred times. On a logarithmic axis both are straight lines. To
# **vanish** is to come so near 0 that it makes no difference any more; to **explode** is the opposite.

# %%
t = np.arange(101)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for factor, colour in ((1.1, VERMILLION), (1.0, GREY), (0.9, BLUE)):
    ax.semilogy(t, factor**t, color=colour, label=f"times {factor:g}, a hundred times: {factor**100:.2g}")
style(ax, "", "how often it was multiplied", "what is left of 1")
ax.legend(frameon=False, loc="upper left")
plt.show()
assert 0.9**100 < 1 / 30_000 and 1.1**100 > 13_000

# %% [markdown]
# ## The gradient is a product
#
# Going back one step, $\partial L / \partial h_t$ passes through $h_t = \tanh(W_{hh} \cdot h_{t-1} + \dots)$, and the
# chain rule of notebook 02 multiplies it twice: by the slope of $\tanh$, which is $1 - h_t^2$, and by the transpose
# of $W_{hh}$. When only the last output counts, nothing is added on the way:
#
# $$\frac{\partial L}{\partial h_{t-1}} = W_{hh}^\top \cdot \left( (1 - h_t^2) \odot
# \frac{\partial L}{\partial h_t} \right)$$
#
# ($\odot$: entry by entry.) Back to the first step the same matrix has been applied once for every step. Here it is
# done by hand, and compared with what the library saw, `flow.norms`: the length of $\partial L / \partial h_t$ at
# every $t$.

# %%
T = 40
rng = np.random.default_rng(0)
x, target = rng.normal(size=(1, T, 3)), np.ones((1, 1))
model = sr.VanillaRNN(3, 20, 1, seed=1, init="spectral(0.9)")
out = model.forward(x)
h, y = out.h[0], out.y[0]

dh = model.params["W_hy"].T @ (2 * (y[-1] - target[0]))  # ∂L/∂h at the last step, of L = (y − target)²
norms = [np.linalg.norm(dh)]
for t in range(T - 1, 0, -1):
    dh = model.params["W_hh"].T @ ((1 - h[t] ** 2) * dh)
    norms.append(np.linalg.norm(dh))
norms = np.array(norms[::-1])

flow = model.loss_and_grads(x, target, steps="last").flow
np.testing.assert_allclose(flow.norms, norms, rtol=1e-10)
flow.plot(plt.subplots(figsize=(7, 3), layout="constrained")[1])
plt.show()
print(f"at the last step {norms[-1]:.2g}, at the first {norms[0]:.2g}")
assert norms[0] < 1e-4 * norms[-1]

# %% [markdown]
# Read the picture from right to left, as the gradient travels. A straight line on a logarithmic axis: it loses the
# same share at every step.
#
# **Question.** The gradient with respect to $W_{hh}$ is a sum over all steps. Which steps does it speak about, if the
# picture above is what each step contributes?
#
# <details><summary>Answer</summary>
#
# About the last few. The earlier ones are in the sum too, but thousands of times smaller. So $W_{hh}$ is changed to
# suit what happened just now. It is not that nothing is learned: what is *long ago* is not learned.
#
# </details>
#
# ## The first factor: the matrix
#
# Multiply a vector by the same matrix many times, and in the long run each product stretches it by the size of the
# largest **eigenvalue**. That number is the **spectral radius** $\rho$. To see it alone, keep the state so close to 0
# that $\tanh$ is a straight line of slope 1. Then $\lVert \partial L / \partial h \rVert$ should change by a factor
# $\rho$ per step: its logarithm by $\ln \rho$.

# %%
T = 120
curves = {}
for radius in (0.5, 0.9, 1.0, 1.1, 1.5):
    model = sr.VanillaRNN(1, 50, 1, seed=3, init=f"spectral({radius})")
    tiny = 1e-30 * rng.normal(size=(1, 50))  # h0: even times 1.5 a hundred times it stays near 0
    flow = model.loss_and_grads(np.zeros((1, T, 1)), np.ones((1, 1)), tiny, "last").flow
    curves[radius] = flow.norms[::-1]  # by lag: steps back from the loss
plots.plot_decay(curves)
plt.show()

for radius, norms in curves.items():
    slope = np.polyfit(np.arange(20, T), np.log(norms[20:]), 1)[0]
    print(f"ρ = {radius:<4g} slope per step {slope:+.4f}   ln ρ = {np.log(radius):+.4f}")
    assert abs(slope - np.log(radius)) < 0.01

# %% [markdown]
# The solid lines were measured, the dotted ones are $\rho$ to the power of the lag. They run side by side. Below
# $\rho = 1$ the gradient vanishes, above it explodes, and there is little room between.
#
# **Question.** With $\rho = 0.9$, how many steps back is the gradient a thousand times smaller?
#
# <details><summary>Answer</summary>
#
# $\ln 1000 / \ln (1 / 0.9) \approx 66$ steps. With $\rho = 0.5$ it takes 10.
#
# </details>
#
# ## The second factor: the slope
#
# The slope of $\tanh$ is 1 at 0 and less everywhere else. Here it is beside two other **activation functions**, the
# curves that a network bends its sums with: the sigmoid $\sigma(a) = 1 / (1 + e^{-a})$, and the rectifier ReLU, which
# is $a$ above 0 and 0 below.

# %%
a = np.linspace(-5, 5, 401)
s = 1 / (1 + np.exp(-a))
functions = {
    "tanh": (np.tanh(a), 1 - np.tanh(a) ** 2, BLUE, "-"),
    "sigmoid": (s, s * (1 - s), VERMILLION, "--"),
    "ReLU": (np.maximum(a, 0), np.where(a > 0, 1.0, 0.0), GREEN, "-."),
}
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for name, (value, slope, colour, line) in functions.items():
    left.plot(a, value, line, color=colour, label=name)
    right.plot(a, slope, line, color=colour, label=f"{name}: at most {slope.max():g}")
    assert slope.max() <= 1
style(left, "What goes out", "what comes in, $a$", "")
style(right, "The slope", "what comes in, $a$", "")
left.set_ylim(-1.2, 2.2)
right.set_ylim(-0.05, 1.6)
right.legend(frameon=False, loc="upper left")
plt.show()
assert functions["sigmoid"][1].max() == 0.25

# %% [markdown]
# A unit far out, where the curve is flat, is **saturated**: nothing gets through it on the way back. Give a network
# with $\rho = 1$ larger and larger inputs. More units saturate, and the gradient vanishes faster, although $W_{hh}$
# is the same.

# %%
T = 60
model = sr.VanillaRNN(5, 50, 1, seed=3, init="spectral(1.0)")
x, target = rng.normal(size=(20, T, 5)), np.ones((20, 1))
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
ends = []
for size, colour in ((0.1, BLUE), (1.0, GREEN), (3.0, ORANGE), (10.0, VERMILLION)):
    seen = sr.gradient_flow(model, size * x, target, steps="last", lag_map=False, input_map=False, spectrum=False)
    left.semilogy(seen.norms[::-1] / seen.norms[-1], color=colour, label=f"inputs of size {size:g}")
    slopes = 1 - model.forward(size * x).h ** 2
    share = [(slopes < limit).mean() for limit in np.linspace(0, 1, 101)]
    right.plot(np.linspace(0, 1, 101), share, color=colour)
    ends.append(seen.norms[0] / seen.norms[-1])
    print(f"size {size:4g}: mean slope {slopes.mean():.2f}, saturated {seen.saturated.mean():4.0%}")
style(left, "How the gradient decays", "lag (steps back from the loss)", "relative to lag 0")
style(right, "Slopes $1 - h^2$ of all units and steps", "slope", "share of units below it")
left.legend(frameon=False, fontsize="small")
plt.show()
assert (np.diff(ends) < 0).all() and ends[0] > 1e-3 and ends[-1] < 1e-20

# %% [markdown]
# `gradient_flow` is the call that measures everything in this notebook; `saturated` is the share of units with
# $|h| > 0.999$ at each step.
#
# **Question from the chapter.** Why do gradients vanish over long sequences, and what has that to do with activation
# functions?
#
# <details><summary>Answer</summary>
#
# Because the gradient that reaches step $k$ from step $t$ is a product of $t - k$ matrices, and each of them is
# $W_{hh}^\top$ times the slopes of the activation function. The slopes of $\tanh$ are never above 1 and mostly below,
# those of the sigmoid never above 1/4: over 20 steps that alone is less than $10^{-12}$. So unless $W_{hh}$ makes up
# for it, the product shrinks by about the same factor at every step. If $W_{hh}$ does more than that, the gradient
# explodes. ReLU has slope 1 wherever a unit is active, so it takes nothing away there; but it does not bound the
# state either, which makes exploding easier.
#
# </details>

# %%
assert 0.25**20 < 1e-12

# %% [markdown]
# ## What did this output look at?
#
# Let a network learn to say at each step what it heard 3 steps ago. Then ask: if input $x_k$ moves a little, how far
# does output $y_t$ move? That is $\lVert \partial y_t / \partial x_k \rVert$, for all pairs $(t, k)$ at once the
# **input map**.

# %%
T, delay = 20, 3
x = rng.normal(size=(500, T, 1))
target = np.concatenate([np.zeros((500, delay, 1)), x[:, :-delay]], axis=1)
echo = sr.VanillaRNN(1, 16, 1, seed=0, init="orthogonal")
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")

before = sr.gradient_flow(echo, x[:20], target[:20], spectrum=False, progress=False)
history = sr.fit(echo, x, target, epochs=15 if QUICK else 60, optimizer=sr.Adam(0.01), progress=False)
after = sr.gradient_flow(echo, x[:20], target[:20], spectrum=False, progress=False)
plots.plot_input_map(before.input_map, left).set_title("Before training", loc="left")
plots.plot_input_map(after.input_map, right).set_title("After training", loc="left")
plt.show()
print(f"loss {history.loss[0]:.3f} → {history.loss[-1]:.5f}")
assert all(np.nanargmax(after.input_map[t]) == t - delay for t in range(delay, T))

# %% [markdown]
# Before training each output depends mostly on the newest input (the diagonal), and less and less on older ones.
# After training the bright line lies 3 steps to the left of the diagonal: the network looks where it should.
#
# The **lag map** asks the same of the loss and the states: how much does the loss of step $t$ depend on $h_k$? This is
# what training gets to see.

# %%
plots.plot_lag_map(before.lag_map, plt.subplots(figsize=(5, 3.6), layout="constrained")[1])
plt.show()
assert np.isnan(before.lag_map[0, 1])  # a loss does not depend on a later state: blank

# %% [markdown]
# ## A bound
#
# A product is no longer than the lengths of its factors allow. The most that $W_{hh}$ can stretch any vector in one
# step is its **norm** $\lVert W_{hh} \rVert$ (its largest singular value); the most that a slope can be is
# $\gamma$, which is 1 for $\tanh$. So
#
# $$\left\lVert \frac{\partial L_t}{\partial h_k} \right\rVert \le (\gamma \, \lVert W_{hh} \rVert)^{t-k}
# \left\lVert \frac{\partial L_t}{\partial h_t} \right\rVert$$
#
# If $\gamma \lVert W_{hh} \rVert < 1$ the gradient *must* vanish. If it is above 1 the gradient *may* explode.

# %%
T = 30
model = sr.VanillaRNN(5, 40, 2, seed=2, init="spectral(0.9)")
x, target = rng.normal(size=(20, T, 5)), rng.normal(size=(20, T, 2))
seen = sr.gradient_flow(model, x, target, progress=False)
norm, radius = seen.spectrum.norm, seen.spectrum.radius
plots.plot_lag_decay(seen.lag_map, bound=norm, radius=radius)
plt.show()
print(f"‖W_hh‖ = {norm:.3f}   ρ = {radius:.3f}")
for t in range(T):
    allowed = norm ** (t - np.arange(t + 1)) * seen.lag_map[t, t]
    assert (seen.lag_map[t, : t + 1] <= allowed * (1 + 1e-12)).all()

# %% [markdown]
# Here the norm is above 1, so the bound grows: it is true and of no help. The spectral radius, the dashed line, says
# better what $W_{hh}$ does in the long run. The slopes of $\tanh$ take the rest.
#
# ## Not one rate but many
#
# $\partial h_t / \partial h_k$ is a matrix, the **Jacobian**. It stretches some directions more than others. How
# much, its **singular values** say, one for each hidden unit. Their logarithms open like a fan.

# %%
spectrum = sr.jacobian_spectrum(model, x)
spectrum.plot()
plt.show()
alive = (spectrum.log10[10] > -3).sum()
print(f"after 10 steps {alive} of 40 directions are left with more than a thousandth of their length")
assert (spectrum.log10[:, 0] <= spectrum.log10_bound + 1e-9).all() and alive < 30

# %% [markdown]
# So the gradient does not only get shorter: it gets poorer. After some steps nearly all of it points in the few
# directions that decay least.
#
# **Question.** The matrix is orthogonal: $W_{hh}^\top \cdot W_{hh} = 1$, it turns vectors and changes no length. What
# does the fan look like when all slopes are 1?
#
# <details><summary>Answer</summary>
#
# It is closed: all singular values are 1 at every lag, one horizontal line. With $\tanh$ and inputs it opens
# downwards, since the slopes are below 1.
#
# </details>

# %%
turning = sr.VanillaRNN(1, 40, 1, init="orthogonal")
assert np.allclose(sr.jacobian_spectrum(turning, np.zeros((1, 50, 1))).log10, 0, atol=1e-10)

# %% [markdown]
# ## When the numbers run out
#
# A computer number cannot be as small as one likes. In `float32`, with which most networks are trained, numbers below
# about $10^{-38}$ have no full precision, and the library puts 0 in their place. A gradient that halves at every step
# gets there, and then it is not small: it is exactly 0.

# %%
T, curves = 200, {}
for dtype in ("float64", "float32"):
    model = sr.VanillaRNN(1, 50, 1, seed=3, init="spectral(0.5)", dtype=dtype)
    flow = model.loss_and_grads(np.zeros((1, T, 1), dtype), np.ones((1, 1), dtype), steps="last").flow
    curves[dtype] = flow.norms[::-1]
plots.plot_remedies(curves, title="The same network in two kinds of numbers")
plt.show()
first = int(np.argmax(curves["float32"] == 0))
print(f"float32: exactly 0 from lag {first} on; float64 at lag {T - 1}: {curves['float64'][-1]:.1e}")
assert 100 < first < 140 and (curves["float64"] > 0).all()

# %% [markdown]
# ## What it does to learning
#
# A small test of memory. At step 0 the network hears +1 or −1. Then comes noise, for `lag` steps. At the end it must
# say what the first number was. Answering 0 always gives a loss of 1. $W_{hh}$ begins with $\rho = 0.7$.


# %%
def recall(count, lag, seed):
    """x (count, lag + 1, 2): the sign at step 0 in the first place, noise in the second; target (count, 1)."""
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1.0, 1.0], count)
    x = np.zeros((count, lag + 1, 2))
    x[:, 0, 0], x[:, :, 1] = sign, rng.normal(size=(count, lag + 1))
    return x, sign[:, None]


def learn(model, lag, regularizer=None):
    """Train, and return the history; validation is on new sequences."""
    x, target = recall(1000, lag, seed=1)
    settings = {"steps": "last", "batch_size": 50, "optimizer": sr.Adam(0.003), "clip_norm": 1.0, "progress": False}
    new = recall(500, lag, seed=2)
    epochs = 8 if QUICK else 12
    return sr.fit(model, x, target, epochs=epochs, **settings, validation=new, regularizer=regularizer)


# %%
short, long = (learn(sr.VanillaRNN(2, 32, 1, init="spectral(0.7)"), lag) for lag in (5, 60))
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for history, name, colour, line in ((short, "lag 5", BLUE, "-"), (long, "lag 60", VERMILLION, "--")):
    left.semilogy(range(1, history.epochs + 1), history.val_loss, line, color=colour, label=name)
    right.semilogy(history.flow.per_sample[0][::-1], line, color=colour)
style(left, "Loss on new sequences", "epoch", "loss")
style(right, "The gradient of the first update", "steps back from the loss", "norm, per sample")
left.legend(frameon=False)
plt.show()
first, last = long.flow.per_sample[0][[0, -1]]
print(f"lag 60: the gradient at the step that matters is {first / last:.1e} of the one at the last step")
assert short.val_loss[-1] < 0.01 and min(long.val_loss) > 0.9 and first < 1e-6 * last

# %% [markdown]
# The same network, the same training. With lag 5 the task is solved within a few epochs. With lag 60 the network does
# not get better than answering 0: the little that it hears from the step that matters is drowned by the noise nearby.
# `clip_norm` is against the opposite, exploding; notebook 05 is about it.
#
# ## Remedies
#
# Three of them, each an attempt to keep the product near 1:
#
# - **orthogonal**: begin with a $W_{hh}$ that changes no length;
# - **identity + ReLU**: begin with $W_{hh} = 1$ and slopes of 1, so that the state is handed on as it is;
# - **Ω**: while training, add to the loss a price for every step at which the gradient grows or shrinks,
#
# $$\Omega = \sum_t (r_t - 1)^2 \qquad r_t =
# \frac{\lVert W_{hh}^\top \cdot ((1 - h_t^2) \odot \partial L / \partial h_t) \rVert}
# {\lVert \partial L / \partial h_t \rVert}$$
#
# $r_t$ is what the length of the gradient is multiplied by, going back from $h_t$ to $h_{t-1}$.

# %%
relu = [sr.RNN(2, 32, nonlinearity="relu", init="identity"), sr.Linear(32, 1)]
networks = {
    "orthogonal": (sr.VanillaRNN(2, 32, 1, init="orthogonal"), None),
    "identity + ReLU": (sr.SequenceModel(relu), None),
    "Ω": (sr.VanillaRNN(2, 32, 1, init="spectral(0.7)"), sr.Omega(1.0)),
}
histories = {"none": long}
for name, (model, regularizer) in networks.items():
    histories[name] = learn(model, 60, regularizer)
for name, history in histories.items():
    print(f"{name:<16} least loss on new sequences {min(history.val_loss):.4f}")
    assert (min(history.val_loss) < 0.1) == (name != "none")

# %%
flows = {name: history.flow.per_sample[5][::-1] for name, history in histories.items()}  # once Ω had 5 updates
losses = {name: history.val_loss for name, history in histories.items()}
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
plots.plot_remedies(flows, left, title="The gradient, at update 6")
plots.plot_remedies(losses, right, title="Learning, lag 60", xlabel="epoch", ylabel="loss on new sequences", start=1)
plt.show()

# %% [markdown]
# Each remedy solves the task that the plain network could not learn, and at the left is why: with each of them the
# gradient still has something to say 60 steps back.
#
# **Question.** Why is the identity paired with ReLU, and not with $\tanh$?
#
# <details><summary>Answer</summary>
#
# The slopes $1 - h^2$ of $\tanh$ are below 1 as soon as the state is not 0, so the more the state has to say, the
# faster the product shrinks. ReLU hands a positive state on with slope exactly 1. The price is that nothing holds it
# back from growing without end.
#
# </details>
#
# **Question.** Would the plain network have done better had it begun with $\rho = 1$ instead of 0.7?
#
# <details><summary>Answer</summary>
#
# Yes: then only the slopes make the gradient shrink, and with some luck the network finds out what step 0 is good for,
# after a while in which nothing seems to happen. Try `init="spectral(1.0)"`. How a network begins decides what it can
# learn.
#
# </details>
#
# **Next.** The measurements: [scratchrnn/gradients/observe.py](../scratchrnn/gradients/observe.py) and
# [spectrum.py](../scratchrnn/gradients/jacobians/spectrum.py); the remedies:
# [scratchrnn/layers/initializers.py](../scratchrnn/layers/initializers.py) and
# [omega.py](../scratchrnn/gradients/omega.py). In [notebook 05](05_clipping_wall.py) the gradient explodes.
