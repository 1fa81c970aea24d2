# %% [markdown]
# # 07 · Backends and speed
#
# **You will learn**
#
# - what a backend is, and that all of them give the same numbers;
# - how to compare two programs' speed on a machine that has other things to do;
# - for which sizes compiled kernels help, and why;
# - what threads and float32 change in the results, and what they do not;
# - how to design an RNN for a stock price, and what it cannot know.
#
# The network is that of [notebook 01](01_equations.py).

# %%
import os
import time

import matplotlib.pyplot as plt
import numpy as np

import scratchrnn as sr
from scratchrnn.plots.style import BLUE, GREY, VERMILLION, decades, style

QUICK = os.environ.get("SCRATCHRNN_QUICK") == "1"  # a shorter run, for tests
rng = np.random.default_rng(0)

# %% [markdown]
# ## One text, three backends
#
# The library's equations are written once, in NumPy. A **backend** says where the arrays live and who does the work:
#
# | backend | where | how |
# | --- | --- | --- |
# | `numpy` | processor | the equations as they stand |
# | `numba` | processor | kernels, compiled for this very processor |
# | `cupy` | NVIDIA card | the equations as they stand, on the arrays of the card |
#
# A backend that is missing says what to install; nothing else is put in its place without a word.

# %%
x, target, h0 = rng.normal(size=(7, 60, 3)), rng.normal(size=(7, 60, 2)), rng.normal(size=(7, 20))
results = {}
for name in ("numpy", "numba", "cupy"):
    try:
        model = sr.VanillaRNN(3, 20, 2, backend=name, seed=1)
    except (ImportError, RuntimeError) as error:
        print(f"{name}: {error}")
        continue
    results[name] = model.loss_and_grads(x, target, h0)
    print(f"{name}: loss {float(results[name].loss):.15f}")

# %% [markdown]
# The same seed gives the same weights everywhere. The gradients agree to 12 digits and more, but not to the last bit:
# each backend has its own tanh, and adds its sums in its own order.

# %%
expected = results["numpy"].grads.vector
for name, r in results.items():
    error = np.linalg.norm(sr.to_numpy(r.grads.vector) - expected) / np.linalg.norm(expected)
    print(f"{name}: relative difference from numpy {error:.0e}")
    assert error < 1e-12
a, b, c = 0.1, 0.2, 0.3
print("the order of a sum matters:", (a + b) + c, a + (b + c))
assert (a + b) + c != a + (b + c)

# %% [markdown]
# ## Twins
#
# A compiled kernel is hard to read. So every kernel is the **twin** of a function in the readable text: it takes the
# same arguments and returns the same results, and a test compares the two for each pair. Where a function has no
# twin, the backend runs the text. The text is what you check and reason about; the twin is what you wait for.
#
# Why is it worth the trouble? Look at what one call of NumPy costs, for arrays of different sizes:

# %%
sizes = np.logspace(0, 6, 19).astype(int)
seconds = []
for size in sizes:
    values, times = rng.normal(size=size), []
    for _ in range(20 if QUICK else 100):
        start = time.perf_counter()
        np.tanh(values)
        times.append(time.perf_counter() - start)
    seconds.append(np.quantile(times, (0.25, 0.5, 0.75)))
low, middle, high = np.array(seconds).T * 1e6

fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.loglog(sizes, middle, "o-", color=BLUE, markersize=4)
ax.fill_between(sizes, low, high, color=BLUE, alpha=0.25, linewidth=0)
style(ax, "One call of np.tanh on this machine", "numbers in the array", "µs  (median, band: middle half)")
plt.show()
assert middle[-1] > middle[0]

# %% [markdown]
# At the right the time is proportional to the work. At the left it is flat: that is the price of the *call*, whatever
# it does. A network calls a handful of such functions at every step of every sequence, and cannot do the steps at
# once, since $h_t$ needs $h_{t-1}$. If it is small, it pays for calls and hardly for arithmetic. A kernel runs the
# whole loop over time in one call.
#
# ## How to race
#
# A machine does other things too, and its clock rate changes. So never time one program on Monday and the other on
# Tuesday. Let them take **turns**, and compare within each turn: what slows one slows the other. In each turn take
# the best of three calls, the one that was disturbed least. The result is a *ratio*, with its spread over the turns.


# %%
def best_of_three(call):
    """Seconds of the fastest of three calls."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def race(one, other, turns=5 if QUICK else 21):
    """Quartiles of (seconds of one / seconds of other), the two taking turns."""
    one(), other()  # the first call may compile, and fills the caches
    return np.quantile([best_of_three(one) / best_of_three(other) for _ in range(turns)], (0.25, 0.5, 0.75))


def compare(N, H):
    """NumPy against Numba on one thread: forward and backward pass of N rows, 50 steps, H units."""
    x, target = rng.normal(size=(N, 50, 3)), rng.normal(size=(N, 50, 2))
    plain, fast = (sr.VanillaRNN(3, H, 2, backend=name) for name in ("numpy", "numba"))
    g, f = (model.loss_and_grads(x, target).grads.vector for model in (plain, fast))
    assert np.linalg.norm(g - f) < 1e-12 * np.linalg.norm(g)  # a race counts only if both do the same
    return race(lambda: plain.loss_and_grads(x, target), lambda: fast.loss_and_grads(x, target))


# %%
threads = sr.get_num_threads()
sr.set_num_threads(1)
units, rows = 2 ** np.arange(2, 9 if QUICK else 10), 2 ** np.arange(0, 8 if QUICK else 10)
curves = {
    "hidden units H   (32 rows)": (units, [compare(32, H) for H in units]),
    "rows of the batch N   (64 units)": (rows, [compare(N, 64) for N in rows]),
}
sr.set_num_threads(threads)

fig, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for ax, (label, (sizes, quartiles)) in zip(panels, curves.items(), strict=True):
    low, middle, high = np.array(quartiles).T
    ax.loglog(sizes, middle, "o-", color=BLUE, markersize=4, label="median of the turns")
    ax.fill_between(sizes, low, high, color=BLUE, alpha=0.25, linewidth=0, label="their middle half")
    ax.axhline(1, color=GREY, linewidth=1)
    style(ax, "", label, "time of numpy / time of numba" if ax is panels[0] else "")
    ax.set_xscale("log", base=2)
    decades(ax.yaxis, 1, 8)
panels[0].legend(frameon=False)
fig.suptitle("Forward and backward pass of 50 steps, float64, one thread", x=0.01, ha="left")
plt.show()

# %% [markdown]
# Above the grey line Numba is the faster one. What the curves look like depends on your processor, so nothing is
# asserted about them, but the reasons are the same everywhere. In a small network NumPy pays for its calls at every
# step, Numba for a few calls in all. In a large one both spend their time in matrix products. What remains is that
# the kernel keeps its sums in registers, applies tanh while they are there, and writes each state once.
#
# **Question.** Someone reports: "My program is 40 times as fast as NumPy." Which four things would you ask before you
# believe it?
#
# <details><summary>Answer</summary>
#
# *Which sizes*: at one unit anything beats NumPy. *Do both compute the same*, gradients included, to how many digits?
# *How many threads* had each of them? And *what is in the time*: is the compiling left out, is it the best of many
# runs or a typical one, did they take turns, how large is the spread?
#
# </details>
#
# ## Threads
#
# Rows of a batch do not know of one another. So the Numba backend cuts a batch into blocks of rows, and threads take
# the blocks; the gradients of the blocks are then added. If the cut depended on the number of threads, so would the
# order of the sums, and the last digits. It depends on the shapes alone:

# %%
model = sr.VanillaRNN(3, 50, 2, backend="numba")
x, target = rng.normal(size=(64, 50, 3)), rng.normal(size=(64, 50, 2))
vectors = {}
for n in (1, 2, 4):
    sr.set_num_threads(n)
    vectors[n] = model.loss_and_grads(x, target).grads.vector
    same = np.array_equal(vectors[n], vectors[1])
    print(f"{n} threads: the same bits as with one: {same}")
    assert same
sr.set_num_threads(threads)

# %% [markdown]
# So a training run can be repeated to the bit on another machine of the same kind, with more cores or fewer. What
# happens if *you* cut the batch, say to save memory?

# %%
halves = [model.loss_and_grads(x[rows], target[rows]).grads.vector for rows in (slice(0, 24), slice(24, 64))]
by_hand = (24 * halves[0] + 40 * halves[1]) / 64
print("relative difference", np.linalg.norm(by_hand - vectors[1]) / np.linalg.norm(vectors[1]))
np.testing.assert_allclose(by_hand, vectors[1], rtol=0, atol=1e-13 * np.linalg.norm(vectors[1]))

# %% [markdown]
# **Question.** Why weighted by 24 and 40?
#
# <details><summary>Answer</summary>
#
# The loss is a mean over what it counts. The mean over 64 rows is not the mean of the means over 24 and 40 rows; each
# must be given the weight of its number of rows.
#
# </details>
#
# ## float32: half the digits
#
# A float64 number has 16 digits and 8 bytes, a float32 has 7 digits and 4 bytes. A vector register holds twice as
# many of the small ones, and memory delivers twice as many.

# %%
x, target = rng.normal(size=(32, 50, 64)), rng.normal(size=(32, 50, 64))
double, single = (sr.VanillaRNN(64, 128, 64, backend="numba", dtype=dtype) for dtype in ("float64", "float32"))
x32, target32 = x.astype("float32"), target.astype("float32")
ratios = race(lambda: double.loss_and_grads(x, target), lambda: single.loss_and_grads(x32, target32))
print(f"float64 takes {ratios[1]:.2f} times as long (middle half of the turns: {ratios[0]:.2f} … {ratios[2]:.2f})")
assert double.params.vector.nbytes == 2 * single.params.vector.nbytes

# %% [markdown]
# And the price? The same weights and inputs in both, and the loss on the last step. $W_{hh}$ is $\rho$ times an
# orthogonal matrix, so that $\rho$ is how much each step may shrink or stretch.

# %%
lengths = np.unique(np.logspace(0.7, 2 if QUICK else 2.6, 9 if QUICK else 14).astype(int))
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for rho, colour, mark in ((0.5, GREY, "s"), (0.95, BLUE, "o"), (1.5, VERMILLION, "D")):
    errors = []
    for T in lengths:
        model = sr.VanillaRNN(3, 32, 2, init="orthogonal", seed=1)
        model.params["W_hh"] *= rho
        x, target = rng.normal(size=(16, T, 3)), rng.normal(size=(16, 2))
        exact = model.loss_and_grads(x, target, steps="last").grads.vector
        model.to(None, "float32")
        rough = model.loss_and_grads(x, target, steps="last").grads.vector
        errors.append(np.linalg.norm(rough - exact) / np.linalg.norm(exact))
    ax.loglog(lengths, errors, mark + "-", color=colour, markersize=4, label=rf"$\rho$ = {rho:g}")
    assert rho > 1 or max(errors) < 1e-5
ax.axhline(np.finfo("float32").eps, color=GREY, linestyle=":", linewidth=1.2)
ax.text(lengths[-1], 1e-7, "last bit of a float32", va="top", ha="right", color=GREY)
ax.set_ylim(bottom=4e-8)
style(ax, "What float32 costs in the gradient", "length of the sequence, steps", "relative error")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# In a network that forgets, six digits are right, however long the sequence: an old rounding error is forgotten like
# everything else. At $\rho$ = 1.5 the network is chaotic (notebook 08): it makes old errors larger.
#
# Is an error in the sixth digit bad? Compare it with another one, which every training run makes on purpose: a
# minibatch is not the whole data.

# %%
model = sr.VanillaRNN(3, 32, 2, init="orthogonal", seed=1)
x, target = rng.normal(size=(64, 50, 3)), rng.normal(size=(64, 2))
whole, half = (model.loss_and_grads(x[:n], target[:n], steps="last").grads.vector for n in (64, 32))
model.to(None, "float32")
rough = model.loss_and_grads(x, target, steps="last").grads.vector
rounding, sampling = (np.linalg.norm(g - whole) / np.linalg.norm(whole) for g in (rough, half))
print(f"float32 instead of float64: {rounding:.0e}     half of the rows instead of all: {sampling:.0e}")
assert rounding < 1e-3 * sampling

# %% [markdown]
# One thing float32 cannot do is to hold very small numbers. Below $10^{-38}$ it loses its digits, and the library
# sets them to 0, and counts. A vanishing gradient gets there.

# %%
model = sr.VanillaRNN(3, 32, 2, init="orthogonal", seed=1)
model.params["W_hh"] *= 0.5
x, target = rng.normal(size=(16, 400, 3)), rng.normal(size=(16, 2))
for dtype in ("float64", "float32"):
    r = model.to(None, dtype).loss_and_grads(x, target, np.zeros((16, 32)), steps="last")
    largest, flushed = abs(r.grads_h0).max(), r.flow.flushed.sum()
    print(f"{dtype}: largest entry of ∂L/∂h0 {largest:.1e}; {flushed:,} numbers set to 0 on the way back")
assert not r.grads_h0.any()

# %% [markdown]
# **Question.** When would you train in float32, and when in float64?
#
# <details><summary>Answer</summary>
#
# Train in float32: the noise of the minibatches is far larger than that of the digits, and it is faster. Use float64
# to *look* at gradients: to check them (finite differences need all the digits that there are), and to follow how
# they vanish over hundreds of steps.
#
# </details>
#
# ## What was measured here, and what was not
#
# The times above are one forward and one backward pass. The first call, which compiles or loads the kernels, is not
# in them, nor the optimizer, nor reading data. NumPy's products use as many threads as your BLAS takes; `make
# notebooks` gives it one. `scratchrnn bench` measures whole trainings on your machine, beside other libraries where
# they are installed; [benchmarks](../benchmarks) holds what it found elsewhere. A ratio from another machine, these
# included, is a hint.
#
# ## One more question: a stock price
#
# The chapter names stock prices as a use of RNNs. Before any network, look at this forecast of a price, a few hundred
# days, one day ahead:

# %%
returns = rng.normal(size=900) * 0.01
price = 100 * np.exp(np.cumsum(returns))
forecast = price[:-1]
likeness = np.corrcoef(forecast, price[1:])[0, 1]
fig, ax = plt.subplots(figsize=(9, 2.8), layout="constrained")
ax.plot(price[1:300], color=GREY, linewidth=2.5, alpha=0.6, label="price")
ax.plot(forecast[:299], "--", color=VERMILLION, linewidth=1.1, label="forecast")
style(ax, f"Correlation of forecast and price: {likeness:.3f}", "day", "price")
ax.legend(frameon=False)
plt.show()
assert likeness > 0.95

# %% [markdown]
# It looks splendid, and it is worth nothing. The price is a random walk: each day's change was drawn without regard
# to anything before it. The forecast is yesterday's price. This is the **naive forecast**; whatever does not beat it
# has learned nothing. Seen as *returns*, the changes per day, it predicts 0 every day.
#
# So: predict returns and not prices. Test on the future only, and train again as it arrives (**walk-forward**).
# Below, a network sees 20 values and predicts the next. Two series: returns of the random walk, and one that has
# something to know, a noisy cycle of about eleven steps, somewhat like sunspots.


# %%
def walk_forward(series, window=20, blocks=3, size=200):
    """Squared errors of one-step forecasts of the last blocks, each by a network trained on all that came before."""
    errors = []
    for block in range(blocks, 0, -1):
        end = len(series) - (block - 1) * size
        mean, std = series[: end - size].mean(), series[: end - size].std()  # nothing of the test part is used
        s = (series[:end] - mean) / std
        x = np.lib.stride_tricks.sliding_window_view(s[:-1], window)[..., None]
        target = s[window:, None]
        model = sr.VanillaRNN(1, 16, 1, seed=block)
        options = {"steps": "last", "epochs": 8 if QUICK else 25, "progress": False}
        sr.fit(model, x[:-size], target[:-size], optimizer=sr.Adam(0.003), clip_norm=1.0, **options)
        errors.append(((model.predict(x[-size:], steps="last") - target[-size:]) * std) ** 2)
    return np.concatenate(errors)[:, 0]


noise, cycle = rng.normal(size=1000), np.zeros(1000)
for t in range(2, 1000):
    cycle[t] = 2 * 0.95 * np.cos(2 * np.pi / 11) * cycle[t - 1] - 0.95**2 * cycle[t - 2] + noise[t]
cycle = cycle[100:]

# %%
scores = {}  # mean squared errors: naive, RNN, the best there is
for name, series, naive in (("random walk", 100 * returns, np.zeros(900)), ("noisy cycle", cycle, np.roll(cycle, 1))):
    floor = 100 * returns if name == "random walk" else noise[100:]  # what nothing before tells
    test = slice(-600, None)
    scores[name] = [np.mean((series - naive)[test] ** 2), np.mean(walk_forward(series)), np.mean(floor[test] ** 2)]

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for place, (label, colour) in enumerate((("naive", GREY), ("RNN", BLUE), ("best possible", "black"))):
    heights = [values[place] for values in scores.values()]
    bars = ax.bar(np.arange(2) + 0.27 * (place - 1), heights, 0.25, color=colour, label=label)
    ax.bar_label(bars, fmt="%.2f")
ax.set_xticks(range(2), ["random walk\n(returns, in percent)", "noisy cycle"])
style(ax, "One step ahead, walking forward", "", "mean squared error")
ax.legend(frameon=False)
plt.show()
naive, rnn, best = scores["random walk"]
assert rnn > 0.98 * naive
naive, rnn, best = scores["noisy cycle"]
assert 0.95 * best < rnn < 0.6 * naive

# %% [markdown]
# Where there is something to know, the network finds most of it. Where there is nothing, it finds nothing, and does
# not do better than the naive forecast. That is as it should be; a network that does beat it there has seen the
# future through some hole in the program.
#
# **Question from the chapter.** How would you design an RNN for predicting stock prices?
#
# <details><summary>Answer</summary>
#
# *Inputs and target*: log returns, not prices. A price drifts out of the range that was trained on, where tanh is
# flat; returns stay alike. Standardise with the training part's mean and spread. Volume, or other markets' returns,
# may be added, if they are known *before* the day that is predicted.
#
# *Network*: small, 8 to 32 units on 20 to 60 days, loss on the last step; dropout, early stopping, several seeds
# averaged. There are few data, and nearly all of it is noise.
#
# *Test*: walk forward, as above; never shuffle days between training and test. Compare with the naive forecast and
# with a linear autoregression. Try settings on a validation part, and use the test part once: of a hundred networks
# that know nothing, one looks good.
#
# *What to expect*: hardly anything for the direction. A pattern that could be seen in past prices would be traded
# upon, and vanish; what moves a price tomorrow is mostly not in the past at all. What a network *can* learn from
# prices is how *large* the next moves will be, for restless days follow restless days. Even a small edge in direction
# must first pay for the trading.
#
# </details>
#
# **Next.** The reference implementation: [scratchrnn/layers/rnn.py](../scratchrnn/layers/rnn.py); its kernels:
# [scratchrnn/backends/numba/kernels/](../scratchrnn/backends/numba/kernels/), with a page on how they become fast in
# [gemm.py](../scratchrnn/backends/numba/kernels/gemm.py); the threads:
# [scratchrnn/backends/numba/threads.py](../scratchrnn/backends/numba/threads.py). [Notebook 08](08_chaos_spectra.py) is
# about networks that make every small error large.
