"""The chapter's character model: embedding 128, two layers of 128, last step, Adam(0.001), batches of 32, 200 epochs.

float32; prints the mean training loss of the last epoch.
"""

import scratchrnn as sr
from scratchrnn.tasks.chapter import data

vocabulary, x, target = data()
V = len(vocabulary)
model = sr.SequenceModel(
    [sr.Embedding(V, 128), sr.RNN(128, 128, num_layers=2), sr.Linear(128, V)], loss="cross_entropy", dtype="float32"
)
history = sr.fit(model, x, target, steps="last", epochs=200, batch_size=32, optimizer=sr.Adam(0.001), progress=False)
print(history.loss[-1])
