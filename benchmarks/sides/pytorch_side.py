"""PyTorch: nn.RNN and nn.Linear, time-major, the fused Adam, data indexed directly rather than by a DataLoader."""

from __future__ import annotations

import torch
from torch import nn

from ..harness import timed
from ..workloads import Weights, Workload
from . import CLIP, LEARNING_RATE


def set_threads(threads: int) -> None:
    """Of the operators."""
    torch.set_num_threads(threads)


class Side:
    """nn.RNN has two biases where the equations have one; the second is zero, and its gradient equals the first's."""

    def __init__(self, workload: Workload, dtype: str) -> None:
        self.workload, kind = workload, getattr(torch, dtype)
        self.rnn = nn.RNN(workload.D, workload.H, workload.layers).to(kind)
        self.out = nn.Linear(workload.H, workload.O).to(kind)
        ours = {"weight_ih": "W_xh", "weight_hh": "W_hh", "bias_ih": "b_h"}
        self.names = {
            f"{i}.{symbol}": getattr(self.rnn, f"{theirs}_l{i}")
            for i in range(workload.layers)
            for theirs, symbol in ours.items()
        }
        self.names |= {f"{workload.top}.W_hy": self.out.weight, f"{workload.top}.b_y": self.out.bias}
        with torch.no_grad():
            for name, parameter in self.rnn.named_parameters():
                if "bias_hh" in name:
                    parameter.zero_()
            for name, array in workload.weights(dtype).items():
                self.names[name].copy_(torch.from_numpy(array))
        self.parameters = [*self.rnn.parameters(), *self.out.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, LEARNING_RATE, fused=True)
        x, target = workload.data(dtype)
        self.x = torch.from_numpy(x).transpose(0, 1).contiguous()  # (T, rows, D)
        target = torch.from_numpy(target)
        self.target = target if workload.last else target.transpose(0, 1).contiguous()
        N = workload.N
        self.first = self.x[:, :N].contiguous(), (self.target[:N] if workload.last else self.target[:, :N]).contiguous()

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        h = self.rnn(x)[0]
        return self.out(h[-1] if self.workload.last else h)

    def forward(self) -> object:
        with torch.inference_mode():
            return self.outputs(self.first[0])

    def grads(self) -> torch.Tensor:
        return self.backward(*self.first)

    def backward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Loss; its gradients are in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.mse_loss(self.outputs(x), target)
        loss.backward()
        return loss

    def result(self) -> tuple[float, Weights]:
        loss = self.grads().item()
        return loss, {name: parameter.grad.numpy() for name, parameter in self.names.items()}

    def epoch(self) -> None:
        order = torch.randperm(self.x.shape[1])
        for rows in order.split(self.workload.N):
            target = self.target[rows] if self.workload.last else self.target[:, rows]
            self.backward(self.x[:, rows], target)
            nn.utils.clip_grad_norm_(self.parameters, CLIP)
            self.optimizer.step()

    def epochs(self, count: int) -> list[float]:
        return timed(self.epoch, count)
