"""What every program of PyTorch pays first."""

import torch

torch.nn.RNN(1, 32)
