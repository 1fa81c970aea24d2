"""Train the workload `large` for three updates in float32; print the peak memory before training and after it, MiB."""

import scratchrnn as sr
from benchmarks.process import peak_memory
from benchmarks.workloads import WORKLOADS

w = WORKLOADS["large"]
x, target = w.data("float32")
model = sr.VanillaRNN(w.D, w.H, w.O, dtype="float32")
model.loss_and_grads(x[:8, :2], target[:8, :2])  # what compiling takes is not the network's
before = peak_memory()
sr.fit(model, x, target, epochs=3, batch_size=w.N, clip_norm=1.0, progress=False)
print(before, peak_memory())
