"""The same program in PyTorch as the chapter has it: batch first, DataLoader, loss.item() after every update."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class SimpleRNN(nn.Module):
    """nn.RNN and nn.Linear on the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, 32, batch_first=True)
        self.fc = nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.rnn(x, torch.zeros(1, len(x), 32))
        return self.fc(out[:, -1, :])


torch.manual_seed(0)
series = np.sin(0.1 * np.arange(1000)).astype(np.float32)
x = torch.from_numpy(np.lib.stride_tricks.sliding_window_view(series[:-1], 50).copy())[..., None]
target = torch.from_numpy(series[50:, None])

model = SimpleRNN()
loader = DataLoader(TensorDataset(x[:760], target[:760]), batch_size=32, shuffle=True)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
criterion = nn.MSELoss()
for _ in range(100):
    epoch_loss = 0.0
    for batch_x, batch_y in loader:
        optimizer.zero_grad()
        loss = criterion(model(batch_x), batch_y)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
    with torch.no_grad():
        test_loss = criterion(model(x[760:]), target[760:]).item()
print(test_loss)
