"""Train the workload `large` for three updates in float32; print the peak memory before training and after it, MiB."""

import torch
from torch import nn

from benchmarks.process import peak_memory
from benchmarks.workloads import WORKLOADS

w = WORKLOADS["large"]
x, target = (torch.from_numpy(array) for array in w.data("float32"))
rnn, out = nn.RNN(w.D, w.H, batch_first=True), nn.Linear(w.H, w.O)
parameters = [*rnn.parameters(), *out.parameters()]
optimizer = torch.optim.Adam(parameters, 0.01, fused=True)
before = peak_memory()
for _ in range(3):
    optimizer.zero_grad()
    rows = torch.randperm(w.N)
    nn.functional.mse_loss(out(rnn(x[rows])[0]), target[rows]).backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
print(before, peak_memory())
