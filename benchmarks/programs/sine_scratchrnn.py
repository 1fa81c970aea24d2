"""The chapter's sine: 100 epochs of 24 updates, H = 32, window 50, Adam(0.01), float32; prints the test MSE."""

import numpy as np

import scratchrnn as sr

series = np.sin(0.1 * np.arange(1000))
x = np.lib.stride_tricks.sliding_window_view(series[:-1], 50)[..., None]
target = series[50:, None]

model = sr.VanillaRNN(1, 32, 1, dtype="float32")
history = sr.fit(
    model, x[:760], target[:760], steps="last", epochs=100, validation=(x[760:], target[760:]), progress=False
)
print(history.val_loss[-1])
