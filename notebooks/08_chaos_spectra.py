# %% [markdown]
# # 08 · Chaos and spectra
#
# **You will learn**
#
# - what a network does when it is left alone: it comes to rest, goes round, or never repeats itself;
# - what a Lyapunov exponent is, and how it is measured;
# - that it is the rate at which gradients vanish or explode in the long run;
# - what fixed points are, and how a network can hold one bit for ever;
# - why chaos breaks two ways of checking a gradient, and spoils a gradient that is right.
#
# Needed from before: the equations ([notebook 01](01_equations.py)) and the ways of checking
# ([notebook 03](03_checking_gradients.py)).

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.papers.lyapunov import gaussian_exponents, largest_exponents, newman
from scratchrnn.plots.style import BLUE, COLOURS, GREY, VERMILLION, integers, style

QUICK = os.environ.get("SCRATCHRNN_QUICK") == "1"  # a shorter run, for tests

# %% [markdown]
# ## A network left alone
#
# No inputs, no bias: the state is fed back to itself, and nothing else.
#
# $$h_t = \tanh(W_{hh} \cdot h_{t-1}) \qquad W_{hh} = g \cdot A, \quad A_{ij} \sim N(0, 1/N)$$
#
# The entries of $A$ are drawn once, for N = 100 units. Only the **gain** $g$ changes. Three of the units:

# %%
N = 100
A = np.random.default_rng(1).normal(0, N**-0.5, (N, N))
start = np.random.default_rng(2).uniform(-1, 1, N)
GAINS = {0.8: "comes to rest", 1.2: "goes round", 3.0: "never repeats itself"}


def run(W, h, steps):
    """The states (steps, N) after h."""
    states = []
    for _ in range(steps):
        h = np.tanh(W @ h)
        states.append(h)
    return np.array(states)


fig, panels = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained", sharey=True)
for ax, (g, does) in zip(panels, GAINS.items(), strict=True):
    ax.set_prop_cycle(color=COLOURS)
    ax.plot(run(g * A, start, 60)[:, :3], linewidth=1.1)
    style(ax, f"g = {g:g}: {does}", "step $t$", "three of the 100 units" if ax is panels[0] else "")
plt.show()
ends = {g: run(g * A, start, 2000)[-200:] for g in GAINS}
assert np.abs(ends[0.8]).max() < 1e-12 and np.abs(ends[1.2]).max() > 0.1

# %% [markdown]
# At g = 0.8 every state shrinks to 0, a **fixed point**: a state that the network leaves where it is. At 1.2 the
# state goes round on a closed curve. At 3 it looks like noise, though nothing is random any more once $A$ is drawn.
# Seen along two directions, after the first 1,800 steps:

# %%
fig, panels = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, (g, states) in zip(panels, ends.items(), strict=True):
    ax.plot(states[:, 0], states[:, 1], "o", color=BLUE, markersize=3, alpha=0.7)
    style(ax, f"g = {g:g}", "unit 0", "unit 1" if ax is panels[0] else "")
    if g == 0.8:
        ax.set(xlim=(-0.1, 0.1), ylim=(-0.1, 0.1))
plt.show()

# %% [markdown]
# ## Eigenvalues
#
# Near 0, tanh does nothing: $h_t \approx W_{hh} \cdot h_{t-1}$. So the **eigenvalues** of $W_{hh}$ decide whether a
# small state shrinks or grows. An eigenvalue is a factor by which the matrix stretches a direction of its own; a
# complex one stretches and turns. For random entries they fill a disc of radius $g$. The largest is the **spectral
# radius** $\rho$.

# %%
fig, panels = plt.subplots(1, 3, figsize=(9, 3.6), layout="constrained")
for ax, g in zip(panels, GAINS, strict=True):
    plots.plot_eigenvalues(g * A, ax)
    ax.set_title(f"g = {g:g}", loc="left")
plt.show()
radius = np.abs(np.linalg.eigvals(A)).max()
assert 0.8 * radius < 1 < 1.2 * radius

# %% [markdown]
# Inside the circle, 0 is where everything ends. Outside, a small state grows until tanh bends it back. What it does
# then, rest, cycle or chaos, the eigenvalues do not say.
#
# ## The Lyapunov exponent
#
# Take a state on its way and a second one beside it, infinitely near. Does the distance grow or shrink? At every step
# it is multiplied by the Jacobian, $\mathrm{diag}(1 - h_t^2) \cdot W_{hh}$, the same that carries gradients back. The
# mean growth per step, as a logarithm, is the (largest) **Lyapunov exponent**:
#
# $$\lambda_1 = \lim_{T \to \infty} \frac{1}{T} \ln \frac{\Vert \delta h_T \Vert}{\Vert \delta h_0 \Vert}$$
#
# By hand it takes a loop: carry a direction along, note by how much it was stretched, and make it short again.

# %%
W = 3.0 * A
h, direction, total = start, np.random.default_rng(3).normal(size=N), 0.0
for t in range(500 + 2000):
    h = np.tanh(W @ h)
    direction = (1 - h**2) * (W @ direction)
    length = np.linalg.norm(direction)
    direction /= length
    total += np.log(length) if t >= 500 else 0.0  # the first 500 steps find the way
spectra = {g: sr.lyapunov_spectrum(g * A, count=2, h0=start, progress=False) for g in GAINS}
for g, spectrum in spectra.items():
    print(f"g = {g:g}: λ₁ = {spectrum.exponents[0]:7.4f} ± {spectrum.standard_errors[0]:.4f}   {GAINS[g]}")
print(f"by hand, g = 3: {total / 2000:.4f}")
lyapunov = {g: spectrum.exponents[0] for g, spectrum in spectra.items()}
assert abs(total / 2000 - lyapunov[3.0]) < 0.02
assert lyapunov[0.8] < -0.1 and abs(lyapunov[1.2]) < 0.005 and lyapunov[3.0] > 0.2

# %% [markdown]
# Below 0: neighbours meet, the network forgets where it came from. At 0: on a closed curve a neighbour stays beside.
# Above 0: neighbours part, and that is **chaos**. At the fixed point 0 the exponent is $\ln(\rho)$ exactly:

# %%
print(f"λ₁ = {lyapunov[0.8]:.4f}   ln ρ = {np.log(0.8 * radius):.4f}")
assert abs(lyapunov[0.8] - np.log(0.8 * radius)) < 5e-3

# %% [markdown]
# ## Two starts, a hair apart
#
# At g = 3, start twice, 10⁻¹² apart. The exponent foretells the slope.

# %%
home, steps = spectra[3.0].h, 140
rng = np.random.default_rng(4)
distances = []
for _ in range(10):
    hair = rng.normal(size=N)
    here = run(W, home, int(rng.integers(1, 200)))[-1]
    near = here + 1e-12 * hair / np.linalg.norm(hair)
    distances.append(np.linalg.norm(run(W, here, steps) - run(W, near, steps), axis=1))

fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
t = np.arange(1, steps + 1)
ax.semilogy(t, np.array(distances).T, color=BLUE, linewidth=0.8, alpha=0.6)
ax.semilogy(t[:100], 1e-12 * np.exp(lyapunov[3.0] * t[:100]), "--", color=VERMILLION, label=r"$e^{\lambda_1 t}$")
style(ax, "Ten pairs of neighbours at g = 3", "step $t$", "distance of the two states")
ax.legend(frameon=False)
plt.show()
growth = np.log(np.array(distances)).mean(axis=0)
slope = np.polyfit(t[10:70], growth[10:70], 1)[0]
print(f"slope {slope:.3f} per step, λ₁ = {lyapunov[3.0]:.3f}")
assert abs(slope / lyapunov[3.0] - 1) < 0.15

# %% [markdown]
# In the end the two are as far apart as any two states of this network: nothing is left of having been neighbours.
#
# **Question.** You measure the first state ten times as exactly. For how many more steps can you foretell the
# network?
#
# <details><summary>Answer</summary>
#
# For $\ln(10) / \lambda_1 \approx 2.3 / 0.28 \approx 8$ steps, however exact you were before. This is why weather
# cannot be foretold for a month: each further day costs the same factor in exactness.
#
# </details>
#
# ## Where chaos begins
#
# In very large networks, at g = 1 (Sompolinsky, Crisanti and Sommers 1988). Each dot is a network of its own:

# %%
gains = (0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)
size, seeds, steps = (100, 2, 300) if QUICK else (200, 5, 1500)
exponents = np.array([largest_exponents(g, size, seeds, steps=steps, discard=300) for g in gains])
plots.plot_chaos(gains, exponents)
plt.show()
assert (exponents[:2] < 0).all() and (exponents[-2:] > 0).all()

# %% [markdown]
# **Question.** Is a network with spectral radius above 1 chaotic?
#
# <details><summary>Answer</summary>
#
# Not always. At g = 1.2 our network had $\rho$ above 1 and went round, with exponent 0. And the single unit of the
# next section has $\rho$ = 2 and comes to rest: tanh is flat there. What counts is the Jacobian where the network
# *is*, and not at 0.
#
# </details>
#
# ## Fixed points: one bit, for ever
#
# The smallest network: one unit, $h_t = \tanh(w \cdot h_{t-1})$. `sr.fixed_points` finds the states that stay, and
# says which are **stable**: from nearby, the network comes back to them.

# %%
branches = [
    (w, point.h[0], point.stable) for w in np.linspace(0.25, 2.5, 46) for point in sr.fixed_points([[w]], starts=15)
]
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for kind, colour, mark, label in ((True, BLUE, "o", "stable"), (False, VERMILLION, "x", "unstable")):
    w, h = np.array([(w, h) for w, h, stable in branches if stable == kind]).T
    ax.plot(w, h, mark, color=colour, markersize=5, label=label)
style(ax, "Fixed points of one unit", "weight $w$", "state $h$ that stays")
ax.legend(frameon=False)
plt.show()
for point in sr.fixed_points([[2.0]]):
    print(f"w = 2: h = {point.h[0]:7.4f}  slope w·(1 − h²) = {point.eigenvalues[0].real:.4f}  stable: {point.stable}")
assert [len(sr.fixed_points([[w]])) for w in (0.5, 2.0)] == [1, 3]

# %% [markdown]
# At w = 1 the one branch becomes three, a **pitchfork bifurcation**. Beyond it there are two states to rest in: the
# unit holds one bit, for ever, without input. But look at the slope there, about 0.17. A gradient that comes through
# such a step shrinks to a sixth. To *keep* something safely means that small changes do not matter, and a gradient is
# nothing but the effect of small changes. Memory of this kind and vanishing gradients are the same thing (Bengio and
# others, 1994).
#
# **Question.** What does the unit do with w = −2?
#
# <details><summary>Answer</summary>
#
# It jumps: h changes its sign at every step, and its size is that of the fixed point of w = 2. A **cycle** of two
# steps. 0 is its only fixed point, an unstable one, with slope −2.
#
# </details>

# %%
alone = sr.fixed_points([[-2.0]])
print([(point.h.tolist(), point.eigenvalues.real.tolist(), point.stable) for point in alone])
print(run(np.array([[-2.0]]), np.array([0.1]), 20)[-4:, 0].round(4))
assert len(alone) == 1 and not alone[0].stable

# %% [markdown]
# ## Every direction has its exponent
#
# A change of $h_k$ may grow in one direction and shrink in others. Over many steps the product of the Jacobians,
# $\partial h_t / \partial h_k$, has as many **singular values** $\sigma_i$ as there are units: factors by which it
# stretches. Each of them goes its way as $e^{\lambda_i \cdot \mathrm{lag}}$; the $\lambda_i$ are the **Lyapunov
# spectrum**. A network with 20 units at g = 2, and the exponents beside the singular values:

# %%
H = 20
small = sr.VanillaRNN(1, H, 1)
small.params["W_hh"] = np.random.default_rng(0).normal(0, 2 * H**-0.5, (H, H))
lags = 200 if QUICK else 1000
spectrum = sr.lyapunov_spectrum(small.params["W_hh"], steps=lags, progress=False)
fan = sr.jacobian_spectrum(small, np.zeros((1, lags, 1)), h0=spectrum.h[None], progress=False)

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
fan.plot(left)
for lag, mark, colour in ((5, "^", GREY), (50, "s", VERMILLION), (lags, "o", BLUE)):
    rates = fan.log10[lag] * np.log(10) / lag
    right.plot(np.arange(1, H + 1), rates, mark, color=colour, markersize=4, label=f"ln(σ) / lag, lag {lag}")
right.plot(np.arange(1, H + 1), spectrum.exponents, color="black", linewidth=1, label="Lyapunov exponents")
style(right, "Per step", "number $i$", "rate")
integers(right.xaxis)
right.legend(frameon=False, fontsize="small")
plt.show()
assert np.abs(rates - spectrum.exponents).max() < 0.1

# %% [markdown]
# After 5 steps the singular values do not know yet where they are going; after hundreds they have found their rates.
# The distance between first and last grows with every step: the product becomes *ill-conditioned*, and nearly all
# gradients point in the few directions that shrink least.
#
# For one family of products the rates are known exactly. Multiply matrices that are all drawn anew, with entries of
# $N(0, 1/N)$. Newman (1986) found
#
# $$\lambda_i = \frac{1}{2}\left[\ln\frac{2}{N} + \psi\left(\frac{N-i+1}{2}\right)\right]$$
#
# where $\psi$ is the digamma function, nearly a logarithm:

# %%
measured = gaussian_exponents(20, steps=100 if QUICK else 200, products=50 if QUICK else 400)
plots.plot_lyapunov(measured, exact=newman(20), exact_name="Newman 1986")
plt.show()
print(f"largest difference {np.abs(measured - newman(20)).max():.4f}")
assert np.abs(measured - newman(20)).max() < 0.05

# %% [markdown]
# Each factor keeps lengths *on average*. Even so, all directions but the first few vanish. Random matrices do not
# preserve; orthogonal ones do.
#
# ## The exponent is the rate of the gradient
#
# Back to gradients. Let the loss look at the last of 100 steps, and follow $\partial L / \partial h_t$ to the
# beginning. Dashed: what $\lambda_1$ says.

# %%
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
T, rates = 100, {}
for (g, does), colour in zip(GAINS.items(), (BLUE, GREY, VERMILLION), strict=True):
    model = sr.VanillaRNN(1, N, 1)
    model.params["W_hh"] = g * A
    far = run(g * A, start, 30)[-1] if g == 0.8 else spectra[g].h  # at 0 itself, all numbers would be 0
    r = model.loss_and_grads(np.zeros((1, T, 1)), np.ones((1, 1)), far[None], steps="last")
    lag = np.arange(T - 1, -1, -1)
    norms = r.flow.norms / r.flow.norms[-1]
    ax.semilogy(lag, norms, color=colour, label=f"g = {g:g}: {does}")
    ax.semilogy(lag, np.exp(lyapunov[g] * lag), "--", color=colour, linewidth=1)
    rates[g] = np.polyfit(lag, np.log(norms), 1)[0]
    print(f"g = {g:g}: {rates[g]:7.3f} per step, λ₁ = {lyapunov[g]:7.3f}")
    assert abs(rates[g] - lyapunov[g]) < 0.1
style(
    ax, "The gradient on its way back", "lag  (steps before the last)", r"$\Vert\partial L/\partial h_t\Vert$, relative"
)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Vanishing: $\lambda_1 < 0$. Exploding: $\lambda_1 > 0$, which is chaos. In between lies a narrow place, and
# orthogonal initialisation starts there. One thing is missing above: inputs. A network that is driven has less
# freedom to do as it likes, and more of its units are in the flat part of tanh. With noise of growing strength added
# to every unit, at g = 3:

# %%
strengths = np.linspace(0, 6, 5 if QUICK else 13)
steps, discard = (300, 100) if QUICK else (1000, 200)
noise = np.random.default_rng(5).normal(size=(steps + discard, N))
tamed = [
    sr.lyapunov_spectrum(W, steps=steps, discard=discard, count=1, drive=s * noise, progress=False).exponents[0]
    for s in strengths
]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.axhline(0, color=GREY, linewidth=0.8)
ax.plot(strengths, tamed, "o-", color=BLUE)
style(ax, "Inputs tame chaos (g = 3)", "strength of the inputs, standard deviation", r"$\lambda_1$ per step")
plt.show()
assert tamed[0] > 0 > tamed[-1]

# %% [markdown]
# ## Why chaos breaks two checks and not the third
#
# Finite differences and the complex step run the network a second time, a little changed. Even if only the rounding
# of the 16th digit is different, after $T$ steps the difference has grown by $e^{\lambda_1 T}$, to everything there
# is. The adjoint test of notebook 03 runs nothing a second time. It compares two *linear* computations along the same
# stored states: forward with the Jacobians, and backward with them. They are huge numbers, but the same ones. $\rho =
# 3$, as the sequence grows:

# %%
D, H = 3, 20
wild = sr.VanillaRNN(D, H, 2, init="orthogonal", backend="numpy")
wild.params["W_hh"] *= 3.0
rng = np.random.default_rng(0)
x, target = 0.2 * rng.normal(size=(2, 600, D)), rng.normal(size=(2, 2))
drive = x[0] @ wild.params["W_xh"].T
rate = sr.lyapunov_spectrum(
    wild.params["W_hh"], steps=500, discard=100, count=1, drive=drive, progress=False
).exponents[0]
print(f"λ₁ = {rate:.2f}: sixteen digits last for about {np.log(1e16) / rate:.0f} steps")
for T in (10, 40, 160):
    report = sr.check_gradients(wild, x[:, :T], target, steps="last", progress=False)
    said = {m: f"{c.error:.0e} {c.verdict}" for m, c in report["W_hh"].comparisons.items()}
    print(f"T = {T:3}: " + ",  ".join(f"{method} {what}" for method, what in said.items()))
said = {method: c.verdict for method, c in report["W_hh"].comparisons.items()}
assert report["W_hh"].comparisons["adjoint"].error < 1e-13
assert said == {"finite differences": "INCONCLUSIVE", "complex step": "INCONCLUSIVE", "adjoint": "PASS"}

# %% [markdown]
# **Question.** The gradient of the chaotic network is right to thirteen digits. Is it of any use?
#
# <details><summary>Answer</summary>
#
# Hardly. It says truly how the loss changes for the tiniest changes of the weights. For a step that an optimizer
# would take, it says nothing: look at the next picture. A right gradient is not yet a useful one.
#
# </details>

# %%
model = sr.VanillaRNN(1, N, 1)
model.params["W_hh"] = W
here, moves = W[0, 0], np.linspace(-0.02, 0.02, 201)
fig, panels = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharey=True)
slopes = []
for ax, T in zip(panels, (5, 20, 80), strict=True):
    batch = np.zeros((1, T, 1)), np.ones((1, 1)), home[None]
    slopes.append(abs(model.loss_and_grads(*batch, steps="last").grads["W_hh"][0, 0]))
    losses = []
    for move in moves:
        model.params["W_hh"][0, 0] = here + move
        losses.append(model.loss(*batch, steps="last"))
    model.params["W_hh"][0, 0] = here
    ax.plot(moves, losses, color=BLUE, linewidth=1)
    ax.plot(0, losses[100], "o", color=VERMILLION)
    style(ax, f"{T} steps: slope {slopes[-1]:.2g}", "change of W_hh[0, 0]", "loss" if ax is panels[0] else "")
plt.show()
assert slopes[-1] > 1000 * slopes[0]

# %% [markdown]
# No state is larger than 1, so the loss is bounded, yet its slope is not: so it must go up and down, ever faster. A
# step along such a slope leads anywhere. **Clipping** makes the step short, but gives it no better direction. What
# helps is to stay away: weights that neither shrink nor stretch, inputs that drive the network, sequences cut into
# pieces ([notebook 05](05_clipping_wall.py)).
#
# **Next.** The exponents: [scratchrnn/gradients/lyapunov.py](../scratchrnn/gradients/lyapunov.py); fixed points:
# [scratchrnn/gradients/fixed_points.py](../scratchrnn/gradients/fixed_points.py); singular values of products that no
# float could hold: [scratchrnn/gradients/jacobians/products.py](../scratchrnn/gradients/jacobians/products.py).
# `scratchrnn papers` compares exponents like these with exact ones.
