"""The same program in PyTorch, without what would slow it down.

One thread, because two are slower at this size; the fused Adam; minibatches indexed directly; the training loss stays
in a tensor until an epoch is over.
"""

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
series = np.sin(0.1 * np.arange(1000)).astype(np.float32)
x = torch.from_numpy(np.lib.stride_tricks.sliding_window_view(series[:-1], 50).copy()).T[..., None].contiguous()
target = torch.from_numpy(series[50:, None])

rnn, out = nn.RNN(1, 32), nn.Linear(32, 1)
optimizer = torch.optim.Adam([*rnn.parameters(), *out.parameters()], 0.01, fused=True)
mse = nn.functional.mse_loss
for _ in range(100):
    total = torch.zeros(())
    for rows in torch.randperm(760).split(32):
        optimizer.zero_grad()
        loss = mse(out(rnn(x[:, rows])[0][-1]), target[rows])
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)
    train_loss = total.item() / 760
    with torch.inference_mode():
        test_loss = mse(out(rnn(x[:, 760:])[0][-1]), target[760:]).item()
print(test_loss)
