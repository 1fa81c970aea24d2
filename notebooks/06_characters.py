# %% [markdown]
# # 06 · Characters
#
# **You will learn**
#
# - how a text becomes numbers, and what a one-hot vector and an embedding are;
# - what a loss of so many nats, or bits, per character means;
# - the chapter's character model, and a larger one that is scored on text it has never seen;
# - how a network writes: greedily, at a temperature, from the k likeliest characters;
# - the chapter's sliding window beside a state that is carried on.
#
# Loss, gradient and epoch are explained in [notebook 01](01_equations.py).

# %%
import os
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.plots.style import BLUE, GREEN, GREY, ORANGE, VERMILLION, style
from scratchrnn.tasks import chapter, characters, poems
from scratchrnn.text import streams

QUICK = os.environ.get("SCRATCHRNN_QUICK") == "1"  # a shorter run, for tests

# %% [markdown]
# ## A text is a row of numbers
#
# The chapter's text has five lines. Its **vocabulary** is the list of the characters that occur in it, sorted. The
# place of a character in that list is its **id**.

# %%
vocabulary, windows, following = chapter.data()
print(vocabulary)
ids = vocabulary.encode("To be")
print(ids, "→", repr(vocabulary.decode(ids)))
V = len(vocabulary)
assert V == 31 and vocabulary.decode(ids) == "To be"

# %% [markdown]
# An id is a name and not a quantity: `e` is not "more" than `b`. So the network must not see the number itself. It
# sees a **one-hot vector**: V numbers, all 0 but a 1 at the place of the character. The product with $W_{xh}$ then
# has little to do. All columns but one are multiplied by 0:
#
# $$W_{xh} \cdot \mathrm{onehot}(i) = \text{column } i \text{ of } W_{xh}$$
#
# The library takes the ids and picks the columns. No one-hot vector is ever made.

# %%
model = sr.VanillaRNN(V, 16, V, loss="cross_entropy", seed=1)
onehot = np.eye(V)[ids]  # (5, V)
print("ids", ids.shape, " one-hot", onehot.shape)
np.testing.assert_array_equal(onehot[0] @ model.params["W_xh"].T, model.params["W_xh"][:, ids[0]])
np.testing.assert_allclose(model(ids[None]), model(onehot[None]), rtol=1e-12)

# %% [markdown]
# ## Embedding
#
# The chapter puts an **embedding** in front: a table $E$ with a row of $d$ numbers for each character. The network
# reads the row instead of the one-hot vector. The table is learned like every other parameter. It is nothing new: a
# product with $W_{xh}$ follows, so the two together are one larger $W_{xh}$.

# %%
small = sr.SequenceModel([sr.Embedding(V, 4), sr.RNN(4, 16), sr.Linear(16, V)], loss="cross_entropy", seed=1)
print(small)
plain = sr.VanillaRNN(V, 16, V, loss="cross_entropy")
plain.params["W_xh"] = small.params["1.W_xh"] @ small.params["0.E"].T  # (16, 4) · (4, V)
for name in ("W_hh", "b_h"):
    plain.params[name] = small.params[f"1.{name}"]
for name in ("W_hy", "b_y"):
    plain.params[name] = small.params[f"2.{name}"]
np.testing.assert_allclose(plain(windows[:3]), small(windows[:3]), rtol=1e-10)

# %% [markdown]
# **Question.** What is the embedding good for, then? Count the numbers that stand between the ids and a state of
# H = 256: for the chapter's 31 characters with $d = 128$, and for 50,000 words with $d = 128$.
#
# <details><summary>Answer</summary>
#
# Without it $H \cdot V$, with it $V \cdot d + d \cdot H$. For the 31 characters 7,936 against 36,736: it costs. For
# the words 12.8 million against 6.4 million: it saves half, and with a small $d$ nearly everything. Words that are
# used alike can also share what is learned, since their rows come to lie near one another.
#
# </details>
#
# ## How surprised? Nats and bits
#
# The network's output has one number for each character. The **softmax** makes probabilities of them:
#
# $$p_i = \frac{e^{y_i}}{\sum_j e^{y_j}}$$
#
# The loss of a step is the **cross-entropy** $L_t = -\ln(p)$ of the character that really came. It is 0 for a network
# that was certain, and right. Its unit is the *nat*; divided by ln 2 = 0.69 it is in *bits*, the length of the
# shortest code that the network's predictions allow. $e^L$ is how many equally likely characters would surprise as
# much.

# %%
text_ids = vocabulary.encode(vocabulary.decode(windows[0]) + vocabulary.decode(following))  # all 200 characters
counts = np.bincount(text_ids, minlength=V)
share = counts / counts.sum()
losses = {
    "knows nothing (ln V)": np.log(V),
    "fresh network": model.loss(text_ids[None, :-1], text_ids[None, 1:]),
    "knows how often each occurs": -(share[counts > 0] * np.log(share[counts > 0])).sum(),
}
for name, nats in losses.items():
    print(f"{name:<28} {nats:.2f} nats = {nats / np.log(2):.2f} bits, like {np.exp(nats):4.1f} equal ones")
assert len(text_ids) == 200 and abs(losses["fresh network"] - np.log(V)) < 0.5

# %% [markdown]
# ## The chapter's model
#
# An embedding of 128, two recurrent layers of 128 above each other, and a linear output. A row is a window of 50
# characters; only the character after the last of them counts (`steps="last"`). There are 150 windows.

# %%
trained = chapter.train(epochs=50 if QUICK else 200, progress=False)
reciter = trained.models["model"]
print(reciter)
ax = plots.plot_loss(trained.history)
ax.axhline(np.log(V), color=GREY, linestyle=":", linewidth=1.2)
ax.text(len(trained.history.loss), np.log(V), r"$\ln V$ ", va="bottom", ha="right", color=GREY)
style(ax, "The chapter's character model", "epoch", "loss, nats per character")
plt.show()
print(f"last epoch: {trained.score:.4f} nats per character")
assert trained.score < 0.1

# %% [markdown]
# Is a loss near 0 good news? The model has about 74,000 parameters and the text 200 characters. Give it the first
# window:

# %%
prompt = vocabulary.decode(windows[0])
print(sr.sample(reciter, vocabulary, prompt, 150, temperature=0, mode="window"))
assert sum(array.size for array in reciter.params.values()) > 70_000
assert chapter.recited(reciter, temperature=0) > 0.9

# %% [markdown]
# It recites. It has learned the text by heart, and nothing else is to be learned from 200 characters. To see a model
# that has learned something about *language*, it takes a longer text and a part of it that is **held out**: never
# trained on, only scored.
#
# ## A longer text, as streams
#
# Python brings its own manual along. Here is some of it, as ids. The last tenth is held out.

# %%
text = "\n\n".join(topics.values())[: 60_000 if QUICK else 300_000]
manual = sr.Vocabulary(text)
ids = manual.encode(text)
train, held_out = np.split(ids, [len(ids) * 9 // 10])
print(f"{len(ids):,} characters, {len(manual)} kinds")
print(text[:290])

# %% [markdown]
# A gradient through 270,000 steps would need every one of those states at once. **Truncated BPTT** cuts the text into
# pieces of, here, 50 steps. The *state* goes on from piece to piece; the gradient does not. So the forward pass has
# no seams, and the backward pass is short. To fill a batch the text is laid out in 16 rows, called **streams**: row 1
# begins where row 0 ends.

# %%
x, target = streams(train, 16)
print("x", x.shape)
assert x[0, -1] == train[x.shape[1] - 1] and x[1, 0] == train[x.shape[1]]
assert (x[:, 1:] == target[:, :-1]).all()

writer = sr.VanillaRNN(len(manual), 128, len(manual), loss="cross_entropy", dtype="float32", init="orthogonal")
history = sr.fit(
    *(writer, x, target),
    epochs=6,
    batch_size=16,
    truncate=50,
    stateful=True,
    optimizer=sr.Adam(0.005),
    clip_norm=1.0,
    callbacks=[sr.CosineDecay(6)],
    progress=False,
)

# %%
share = np.bincount(train, minlength=len(manual)) + 1.0  # the 1 is for characters that the training part lacks
share /= share.sum()
scores = {
    "knows nothing": np.log(len(manual)),
    "knows how often\neach occurs": -np.log(share[held_out]).mean(),
    "RNN": characters.metric(writer, held_out),
}
fig, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
bits = np.array(list(scores.values())) / np.log(2)
ax.barh(list(scores), bits, color=[GREY, GREY, BLUE], height=0.6)
for row, value in enumerate(bits):
    ax.text(value, row, f" {value:.2f}", va="center")
ax.invert_yaxis()
style(ax, "The held-out tenth of the manual", "bits per character (less is better)", "")
plt.show()
assert bits[2] < bits[1] < bits[0]

# %% [markdown]
# **Question.** The last tenth was held out, and not every tenth character. Why?
#
# <details><summary>Answer</summary>
#
# A character in the midst of training text is given away by its neighbours: the network has seen the very words
# around it. What is held out must lie apart from what is trained on. For a series in time that means: train on the
# past, test on the future.
#
# </details>
#
# ## Writing: the temperature
#
# To write, draw a character from $p$, feed it back as the next input, and repeat. Divide the outputs by a
# **temperature** $\tau$ before the softmax. Below 1, likely characters become likelier still; above 1, all become
# alike:
#
# $$p_i = \frac{e^{y_i/\tau}}{\sum_j e^{y_j/\tau}}$$

# %%
beginning = manual.encode("The following ")
y = writer.predict(beginning[None], steps="last")[0].astype(float)  # outputs after the last character
best = np.argsort(-y)[:15]
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for place, (tau, colour) in enumerate(((0.5, BLUE), (1.0, ORANGE), (2.0, VERMILLION))):
    p = np.exp((y - y.max()) / tau)
    p /= p.sum()
    ax.bar(np.arange(15) + 0.27 * (place - 1), p[best], 0.27, color=colour, label=rf"$\tau$ = {tau:g}")
ax.set_xticks(range(15), manual.decode(best).replace(" ", "␣").replace("\n", "↵"))
style(ax, "After “The following ”", "next character, the likeliest first", "probability")
ax.legend(frameon=False)
plt.show()
assert np.isclose(p.sum(), 1)

# %%
begin = "The following "
for settings in ({"temperature": 0}, {"temperature": 0.5}, {"temperature": 1}, {"temperature": 2}):
    print(f"--- {settings}\n{sr.sample(writer, manual, begin, 220, **settings)}")
greedy = sr.sample(writer, manual, begin, 220, temperature=0, seed=1)
assert greedy == sr.sample(writer, manual, begin, 220, top_k=1, seed=2)  # nothing is drawn
assert greedy.count(greedy[-15:]) > 1  # it has come back to where it was

# %% [markdown]
# Temperature 0 is **greedy**: always the likeliest character. It soon goes round in circles. At 2 the rare characters
# take over: each of them is unlikely, but there are many. **Top-k** forbids them: only the k likeliest characters may
# be drawn, at any temperature.

# %%
print(sr.sample(writer, manual, begin, 220, temperature=1, top_k=5))

# %% [markdown]
# **Question.** Someone measures the loss of a text that the model wrote itself at temperature 0.5 and finds it far
# below the held-out loss. Is the model better than we thought?
#
# <details><summary>Answer</summary>
#
# No. At a low temperature it writes what it finds likely, so of course it is not surprised. A loss tells something
# only about a text that somebody else wrote.
#
# </details>
#
# ## The window that slides, and the state that is carried
#
# The chapter writes each character from a state of zeros, by reading the last characters again (`mode="window"`). The
# library's default reads every character once and keeps the state (`mode="carried"`). Count the steps of the network
# for 150 characters after a prompt of 50:

# %%
print("window ", 150 * 50, "steps")
print("carried", 50 + 150 - 1, "steps")
agree = {mode: sr.sample(reciter, vocabulary, prompt, 150, temperature=0, mode=mode) for mode in ("window", "carried")}
same = np.mean([a == b for a, b in zip(agree["window"], agree["carried"], strict=True)])
print(f"the chapter's model writes the same characters either way: {same:.0%}")

# %% [markdown]
# The chapter's model was trained on windows from zeros, and has never met an older state. That it goes on well from
# one is luck; a model for long texts is better trained the way it will be used, as the streams above are.
#
# What is lost by starting from zeros? Cut held-out text into windows and look at the loss at each place in them, once
# from a state of zeros, once with the state that the text before has left.

# %%
K = 30
rows = held_out[: (len(held_out) - 1) // K * K].reshape(-1, K)
after = held_out[1 : rows.size + 1].reshape(-1, K)
states = writer.forward(rows.reshape(1, -1)).h[0, K - 1 :: K][:-1]  # the state at the end of each window
by_place = {}
for name, h0 in {"from zeros": None, "carried": np.vstack([np.zeros_like(states[:1]), states])}.items():
    outputs = writer.forward(rows, h0).y.astype(float)
    log_p = outputs - np.log(np.exp(outputs).sum(axis=-1, keepdims=True))
    by_place[name] = -np.take_along_axis(log_p, after[..., None], axis=-1)[..., 0].mean(axis=0) / np.log(2)

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for (name, values), colour, line in zip(by_place.items(), (VERMILLION, BLUE), ("-", "--"), strict=True):
    ax.plot(np.arange(1, K + 1), values, line, color=colour, label=f"state {name}")
style(ax, "What the memory is worth", "place in the window", "bits per character")
ax.legend(frameon=False)
plt.show()
difference = by_place["from zeros"] - by_place["carried"]
print(f"first character {difference[0]:.2f} bits dearer, from the fifteenth on {difference[14:].mean():.2f} bits")
assert difference[0] > 0.5
assert difference[14:].mean() < 0.15

# %% [markdown]
# The first characters of a window cost much more: the network does not know where it is. A few characters later the
# curves meet. That is how far this network's memory is worth anything: some ten characters, although nothing in the
# equations limits it. [Notebook 04](04_vanishing_exploding.py) says why.
#
# ## Chinese
#
# Nothing above spoke of English. A Chinese character is one character too, with one id; there are only more of them.
# The chapter's example: from a line of a Tang poem, the next line. The library has some dozens of poems.

# %%
verses = poems.data()
print(verses.vocabulary)
print(len(verses.pairs), "pairs, such as", verses.pairs[0])
learned = poems.train(epochs=10 if QUICK else 40, progress=False)
for line in ("床前明月光，", "白日依山尽，", "千山鸟飞绝，"):
    print(line, "→", poems.next_line(learned.models["model"], verses.vocabulary, line))
print(f"written without a mistake: {learned.score:.0%} of the lines")
assert learned.score > (0.3 if QUICK else 0.9)

# %% [markdown]
# Is this poetry? It is recitation again, as with Hamlet: every one of these lines was trained on. Ask for a line that
# no poem has, and see:

# %%
for line in ("明月照我床，", "春风入空山，"):
    assert line not in [first for first, then in verses.pairs]
    print(line, "→", poems.next_line(learned.models["model"], verses.vocabulary, line))

# %% [markdown]
# ## Why an RNN at all?
#
# An RNN that has read a million characters keeps the same few numbers as one that has read ten.

# %%
for length in (10, 1000, 20_000):
    state = writer.forward(ids[None, :length]).h_last
    print(f"after {length:>6} characters the state takes {state.nbytes} bytes")
assert state.nbytes == 128 * 4
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
read = np.logspace(0, 5, 50)
ax.loglog(read, np.full_like(read, 128), color=BLUE, label="RNN: one state, H numbers")
ax.loglog(read, 2 * 128 * read, "--", color=VERMILLION, label="attention: a key and a value for each, 2·H·t")
ax.loglog(read, 128 * np.minimum(read, 30), "-.", color=GREEN, label="convolution: the last 30, 30·H")
style(ax, "What one layer must keep to go on", "characters read, $t$", "numbers kept (H = 128)")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# **Question from the chapter.** When should one choose an RNN rather than a CNN or a Transformer?
#
# <details><summary>Answer</summary>
#
# *An RNN* where data arrives one step at a time and each must be answered at once, for as long as the device runs:
# its memory and its work per step are constant (picture). So: small devices, control, sensors, live audio; and short
# sequences with little data, where its few parameters and its bias to the recent past help.
#
# *A CNN* where what matters lies within a window of known width: all steps are computed at the same time, and
# gradients pass a few layers instead of many steps. Beyond the window it sees nothing.
#
# *A Transformer* where something far back must be found again exactly, and there is much data and hardware that
# computes in parallel. Every step looks at every other directly, so no gradient has to survive hundreds of steps. The
# price is a memory that grows with the text and, in training, work that grows with its square.
#
# An RNN cannot be trained in parallel over time, since $h_t$ needs $h_{t-1}$, and what it must remember for a hundred
# steps it mostly does not learn (notebook 04). For translation or long documents that decides against it.
#
# </details>
#
# **Next.** Vocabulary and streams: [scratchrnn/text.py](../scratchrnn/text.py); drawing characters:
# [scratchrnn/sampling.py](../scratchrnn/sampling.py); the embedding:
# [scratchrnn/layers/embedding.py](../scratchrnn/layers/embedding.py).
# [Notebook 07](07_backends_speed.py) asks how fast all this runs, and why.
