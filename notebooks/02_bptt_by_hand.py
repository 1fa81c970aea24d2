# %% [markdown]
# # 02 · BPTT by hand, on three steps
#
# **You will learn**
#
# - the chain rule, which is all that backpropagation is made of;
# - every number of a backward pass through three time steps, small enough for pencil and paper;
# - why the pass runs from the end to the beginning, and where two streams of gradient meet;
# - that `loss_and_grads` gives the same numbers.
#
# BPTT is short for *backpropagation through time*. The words loss and gradient are explained in
# [notebook 01](01_equations.py).

# %%
import matplotlib.pyplot as plt
import numpy as np

import scratchrnn as sr
from scratchrnn.plots.style import BLUE, GREY, VERMILLION

np.set_printoptions(formatter={"float": lambda number: f"{number + 0.0:7.4f}"})  # aligned; no −0

# %% [markdown]
# ## The chain rule
#
# Two machines stand in a row: $a = w \cdot x$, then $h = \tanh a$. Turn $w$ a little. How fast does $h$ move? As fast
# as $a$ moves with $w$, times as fast as $h$ moves with $a$:
#
# $$\frac{\partial h}{\partial w} = \frac{\partial h}{\partial a} \cdot \frac{\partial a}{\partial w}
# = (1 - h^2) \cdot x$$
#
# The slope of tanh is $1 - \tanh^2 a$, which is $1 - h^2$: the output alone says how steep it was. With $w = 0.5$ and
# $x = 2$:

# %%
w, x = 0.5, 2.0
h = np.tanh(w * x)
print(f"h = tanh({w * x}) = {h:.4f}    slope 1 − h² = {1 - h**2:.4f}    ∂h/∂w = (1 − h²)·x = {(1 - h**2) * x:.4f}")

moved = np.tanh((w + 0.001) * x)
print(f"w moves by 0.001, h by {moved - h:.7f}: {(moved - h) / 0.001:.3f} times as far")

# %% [markdown]
# Where a number takes several ways to the loss, the slopes of all ways are **added**. These two rules, *multiply
# along a way, add over the ways*, are everything in this notebook.
#
# ## The network
#
# One input number per step, two hidden units, one output, three steps:
#
# $$a_t = W_{hh} \cdot h_{t-1} + W_{xh} \cdot x_t + b_h \qquad h_t = \tanh a_t \qquad y_t = W_{hy} \cdot h_t + b_y$$
#
# and the loss is $L = \frac{1}{3}\sum_t (y_t - \hat y_t)^2$.

# %%
W_xh = np.array([[1.0], [-0.5]])  # (H, D) = (2, 1)
W_hh = np.array([[0.5, -1.0], [1.0, 0.5]])  # (H, H) = (2, 2)
b_h = np.array([0.0, 0.25])  # (H,)
W_hy = np.array([[1.0, 2.0]])  # (O, H) = (1, 2)
b_y = np.array([0.5])  # (O,)

T = 3
x = np.array([[1.0], [-1.0], [0.5]])  # x_0, x_1, x_2
target = np.array([[1.0], [0.0], [-1.0]])  # what it should have said

# %% [markdown]
# ## Forward
#
# From left to right. `h[-1]` is the state before the first input: zeros.

# %%
a, h, y, L = {}, {-1: np.zeros(2)}, {}, {}
for t in range(T):
    a[t] = W_hh @ h[t - 1] + W_xh @ x[t] + b_h
    h[t] = np.tanh(a[t])
    y[t] = W_hy @ h[t] + b_y
    L[t] = (y[t] - target[t]) @ (y[t] - target[t])
    print(f"t = {t}   a = {a[t]}   h = {h[t]}   y = {y[t]}   target = {target[t]}   L_t = {L[t]:.4f}")

loss = sum(L.values()) / T
print(f"\nL = ({L[0]:.4f} + {L[1]:.4f} + {L[2]:.4f}) / 3 = {loss:.4f}")

# %% [markdown]
# Check a line with a pocket calculator: at $t = 0$ the first unit gets $a = 1 \cdot 1 + 0 = 1$ and $\tanh 1 = 0.7616$.
#
# ## Backward, the outputs
#
# The loss looks at the outputs directly. The slope of a square is twice the number:
#
# $$\frac{\partial L}{\partial y_t} = \frac{2}{T}\,(y_t - \hat y_t)$$

# %%
dy = {t: 2 / T * (y[t] - target[t]) for t in range(T)}
for t in range(T):
    print(f"t = {t}   ∂L/∂y = 2/3 · ({y[t][0]:.4f} − ({target[t][0]:.0f})) = {dy[t][0]:.4f}")

# %% [markdown]
# A positive number says: the loss would fall if this output were smaller.
#
# ## Backward, the last step
#
# What does the loss think of $h_2$? Nothing comes after it, so $h_2$ has one way to the loss: through $y_2$. Each
# unit gets the slope of $y_2$ times its weight. Then the slope of tanh leads from $h_2$ to $a_2$:
#
# $$\delta_2 = \frac{\partial L}{\partial h_2} = W_{hy}^\top \cdot \frac{\partial L}{\partial y_2} \qquad
# \frac{\partial L}{\partial a_2} = \delta_2 \odot (1 - h_2^2)$$
#
# $\odot$ multiplies number by number; $^\top$ turns rows into columns.

# %%
from_y, from_later, delta, da = {}, {}, {}, {}

from_y[2] = W_hy.T @ dy[2]
from_later[2] = np.zeros(2)  # nothing comes after the last step
delta[2] = from_y[2] + from_later[2]
da[2] = delta[2] * (1 - h[2] ** 2)

for i in range(2):
    print(f"unit {i}:  δ = {W_hy[0, i]:.0f} · {dy[2][0]:.4f} = {delta[2][i]:.4f}", end="     ")
    print(f"∂L/∂a = {delta[2][i]:.4f} · (1 − {h[2][i] ** 2:.4f}) = {da[2][i]:.4f}")

# %% [markdown]
# ## Backward, one step earlier: two streams meet
#
# $h_1$ has two ways to the loss. One goes through its own output $y_1$, as before. The other goes through the next
# state: $h_1$ enters $a_2 = W_{hh} \cdot h_1 + \dots$, and what the loss thinks of $a_2$ we have just computed.
# Multiply along each way, add:
#
# $$\delta_1 = W_{hy}^\top \cdot \frac{\partial L}{\partial y_1} + W_{hh}^\top \cdot \frac{\partial L}{\partial a_2}$$

# %%
from_y[1] = W_hy.T @ dy[1]
from_later[1] = W_hh.T @ da[2]
delta[1] = from_y[1] + from_later[1]
da[1] = delta[1] * (1 - h[1] ** 2)

print(f"through y_1:  W_hyᵀ · ∂L/∂y_1 = {from_y[1]}")
for i in range(2):
    terms = f"{W_hh[0, i]:.1f} · {da[2][0]:.4f} + {W_hh[1, i]:.1f} · {da[2][1]:.4f}"
    print(f"through h_2, unit {i}:  {terms} = {from_later[1][i]:.4f}")
print(f"together:     δ_1 = {delta[1]}")
print(f"through tanh: ∂L/∂a_1 = δ_1 · (1 − h_1²) = {da[1]}")

# %% [markdown]
# **Question.** Why must the pass go backwards? Could $\delta_0$ come first?
#
# <details><summary>Answer</summary>
#
# $\delta_0$ needs $\partial L/\partial a_1$, which needs $\delta_1$, which needs $\partial L/\partial a_2$. Going
# backwards, each of them is computed once and used once. (One can go forwards; but then one carries the slope of
# every state with respect to every parameter, a table of 2 × 8 numbers here and of millions in a real network.)
#
# </details>
#
# ## Backward, the first step
#
# The same two lines again, with every index one lower. In a program it is a loop.

# %%
from_y[0] = W_hy.T @ dy[0]
from_later[0] = W_hh.T @ da[1]
delta[0] = from_y[0] + from_later[0]
da[0] = delta[0] * (1 - h[0] ** 2)

print("      through y_t          through h_{t+1}      δ_t = ∂L/∂h_t        ∂L/∂a_t")
for t in reversed(range(T)):
    print(f"t = {t} {from_y[t]!s:<20} {from_later[t]!s:<20} {delta[t]!s:<20} {da[t]}")

# %% [markdown]
# ## Which term flows where
#
# The same numbers on the unrolled network. Follow the arrows from right to left; blue comes down from an output, red
# comes back through time. The wider an arrow, the larger what flows in it. $\delta_t$ is the sum of what arrives.


# %%
def arrow(ax, start, end, vector, colour):
    """An arrow as wide as the vector is long, and the vector's two numbers beside it."""
    width = 0.5 + 1.6 * np.linalg.norm(vector)
    look = {"arrowstyle": "-|>", "lw": width, "color": colour, "shrinkA": 24, "shrinkB": 24}
    ax.annotate("", end, start, arrowprops=look)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    beside = (x + 0.46, y) if start[0] == end[0] else (x, y + 0.16)
    ax.text(*beside, f"({vector[0]:.3f}, {vector[1]:.3f})", color=colour, ha="center", va="center")


fig, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
for t in range(T):
    for height, text in ((0, f"$h_{t}$"), (1, f"$y_{t}$")):
        ax.text(2 * t, height, text, ha="center", va="center", fontsize="x-large")
        ax.add_patch(plt.Circle((2 * t, height), 0.19, fill=False, color=GREY))
    arrow(ax, (2 * t, 1), (2 * t, 0), from_y[t], BLUE)
    if t > 0:
        arrow(ax, (2 * t, 0), (2 * t - 2, 0), from_later[t - 1], VERMILLION)
    ax.text(2 * t, -0.42, f"$\\delta_{t}$ = ({delta[t][0]:.3f}, {delta[t][1]:.3f})", ha="center")
ax.set(xlim=(-0.8, 5), ylim=(-0.6, 1.25), aspect="equal")
ax.axis("off")
plt.show()

# %% [markdown]
# **Question.** Suppose that only the last output counts in the loss (the sine of notebook 01, `steps="last"`). Which
# arrows remain?
#
# <details><summary>Answer</summary>
#
# The blue arrow at $t = 2$ and both red ones. Everything that reaches $h_0$ then came the long way, through two
# products with $W_{hh}^\top$ and two slopes of tanh. Over 50 steps there would be 49 of each. Notebook 04 shows what
# becomes of it.
#
# </details>
#
# ## From the states to the parameters
#
# `W_hh` is used at every step. So it has three ways to the loss, one through each $a_t$, and the slopes add up. At
# step $t$, the number $W_{hh}[i, j]$ multiplies $h_{t-1}[j]$ and lands in $a_t[i]$; its slope there is $\partial
# L/\partial a_t[i] \cdot h_{t-1}[j]$. All four at once are an outer product, a column times a row:
#
# $$\frac{\partial L}{\partial W_{hh}} = \sum_t \frac{\partial L}{\partial a_t} \cdot h_{t-1}^\top \qquad
# \frac{\partial L}{\partial W_{xh}} = \sum_t \frac{\partial L}{\partial a_t} \cdot x_t^\top \qquad
# \frac{\partial L}{\partial b_h} = \sum_t \frac{\partial L}{\partial a_t}$$

# %%
parts = [np.outer(da[t], h[t - 1]) for t in range(T)]
for t in range(T):
    print(f"step {t} gives W_hh:  {parts[t][0]}\n{'':<20} {parts[t][1]}")

grads = {
    "W_xh": sum(np.outer(da[t], x[t]) for t in range(T)),
    "W_hh": sum(parts),
    "b_h": sum(da[t] for t in range(T)),
    "W_hy": sum(np.outer(dy[t], h[t]) for t in range(T)),
    "b_y": sum(dy[t] for t in range(T)),
}
print(f"all together  W_hh:  {grads['W_hh'][0]}\n{'':<20} {grads['W_hh'][1]}")

# %% [markdown]
# **Question.** Step 0 gives `W_hh` nothing but zeros. Why? And why is that worth knowing for someone who tests such
# code?
#
# <details><summary>Answer</summary>
#
# At step 0, `W_hh` multiplies the state before the first input, which is zero here: whatever `W_hh` is, it changes
# nothing. A mistake in this very term would not show. So a good test begins from a state that is not zero, as
# `sr.check_gradients` does.
#
# </details>
#
# ## The same from the library
#
# We ask for every gradient, the one of the first state included. `[None]` gives `x` its axis of rows, N = 1.

# %%
model = sr.VanillaRNN(1, 2, 1, backend="numpy")
for name, array in {"W_xh": W_xh, "W_hh": W_hh, "b_h": b_h, "W_hy": W_hy, "b_y": b_y}.items():
    model.params[name] = array
r = model.loss_and_grads(x[None], target[None], inputs=True)

print(f"{'':<12} {'by hand':<21} loss_and_grads")
print(f"{'loss':<12} {loss:<21.16f} {r.loss:.16f}")
for name, grad in grads.items():
    for at in np.ndindex(grad.shape):
        label = f"{name}[{', '.join(map(str, at))}]"
        print(f"{label:<12} {grad[at]:<21.16f} {r.grads[name][at]:.16f}")
    np.testing.assert_allclose(grad, r.grads[name], rtol=1e-13, atol=1e-16)

# %%
by_hand = {"norms of δ_t": [np.linalg.norm(delta[t]) for t in range(T)], "∂L/∂h0": W_hh.T @ da[0]}
library = {"norms of δ_t": r.flow.norms, "∂L/∂h0": r.grads_h0[0]}
for name, value in by_hand.items():
    print(f"{name:<13} {np.array(value)}   {library[name]}")
    np.testing.assert_allclose(value, library[name], rtol=1e-13)
np.testing.assert_allclose([W_xh.T @ da[t] for t in range(T)], r.grads_x[0], rtol=1e-13)

# %% [markdown]
# All of them agree, to the last digits that a computer keeps. `r.flow.norms` is the length of $\delta_t$ at every
# step: the library takes it down on each backward pass, and the later notebooks look at little else.
#
# ## One step downhill
#
# What is it all for? Move each parameter against its slope, by a tenth of it:

# %%
for name in model.params:
    model.params[name] -= 0.1 * grads[name]
after = model.loss(x[None], target[None])
print(f"loss before {loss:.4f}, after one step {after:.4f}")
assert after < loss

# %% [markdown]
# **Question.** A fall is promised, too: each number moves by 0.1 times its slope, and the loss should fall by that
# times the slope again, 0.1 times the sum of all squared slopes. Compute it. Is the promise kept?
#
# <details><summary>Answer</summary>
#
# It is not, as the next cell shows; it could not be, since it promised more than there was to lose. A slope holds at
# the point where it was computed, and a step of 0.1 is so long that the surface curves on the way. With a step of
# 0.001 the promise is kept to about a percent.
#
# </details>

# %%
squares = sum((grad**2).sum() for grad in grads.values())
for name in model.params:
    model.params[name] += (0.1 - 0.001) * grads[name]  # back, but for a step of 0.001
little = loss - model.loss(x[None], target[None])
print(f"step 0.1:    promised {0.1 * squares:.6f}   got {loss - after:.6f}")
print(f"step 0.001:  promised {0.001 * squares:.6f}   got {little:.6f}")
assert abs(little / (0.001 * squares) - 1) < 0.02

# %% [markdown]
# **Next.** Read `backward` in [scratchrnn/layers/rnn.py](../scratchrnn/layers/rnn.py): its loop is the two lines
# above, for all rows at once. Its array `h` begins with the state before the first input, so `h[t + 1]` there is
# $h_t$ here. The output's part is in [scratchrnn/layers/linear.py](../scratchrnn/layers/linear.py), that of the loss
# in [scratchrnn/losses.py](../scratchrnn/losses.py). Then [notebook 03](03_checking_gradients.py): how to find out
# whether a gradient is right when nobody has computed it by hand.
