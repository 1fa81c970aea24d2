"""PyTorch: nn.RNN and nn.Linear, time-major, the fused Adam, data indexed directly rather than by a DataLoader.

Rows of unequal length are sorted, longest first, before the clock starts or while a minibatch is gathered, and packed
in every pass. Outputs and loss stay packed: to pad the states again (`pad_packed_sequence`) made a pass take almost
twice as long. To run over the padding and mask the loss took 5 % less time with a backward pass, half more without.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

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
        self.rnn = nn.RNN(workload.D, workload.H, workload.layers, bidirectional=workload.bidirectional).to(kind)
        self.out = nn.Linear(workload.width, workload.O).to(kind)
        self.names = {"1.W_hy": self.out.weight, "1.b_y": self.out.bias}
        with torch.no_grad():
            suffixes = chain.from_iterable(workload.suffixes)
            for after, (W_xh, W_hh, b_h, second) in zip(suffixes, self.rnn.all_weights, strict=True):
                self.names |= {f"0.W_xh{after}": W_xh, f"0.W_hh{after}": W_hh, f"0.b_h{after}": b_h}
                second.zero_()
            for name, array in workload.weights(dtype).items():
                self.names[name].copy_(torch.from_numpy(array))
        self.parameters = [*self.rnn.parameters(), *self.out.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, LEARNING_RATE, fused=True)
        x, target = workload.data(dtype)
        self.x = torch.from_numpy(x).transpose(0, 1).contiguous()  # (T, rows, D)
        target = torch.from_numpy(target)
        self.target = target if workload.last else target.transpose(0, 1).contiguous()
        lengths = workload.lengths()
        self.lengths = None if lengths is None else torch.from_numpy(lengths)
        self.first = self.minibatch(torch.arange(workload.N))

    def minibatch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """x, target and lengths of these rows, longest first."""
        lengths = None
        if self.lengths is not None:
            lengths, order = self.lengths[rows].sort(descending=True)
            rows = rows[order]
        return self.x[:, rows], self.target[rows] if self.workload.last else self.target[:, rows], lengths

    def outputs(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Of the counted steps; with lengths, of all of them in a row."""
        if lengths is not None:
            return self.out(self.rnn(pack_padded_sequence(x, lengths))[0].data)
        h = self.rnn(x)[0]
        return self.out(h[-1] if self.workload.last else h)

    def forward(self) -> object:
        x, _, lengths = self.first
        with torch.inference_mode():
            return self.outputs(x, lengths)

    def grads(self) -> torch.Tensor:
        return self.backward(*self.first)

    def backward(self, x: torch.Tensor, target: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Loss; its gradients are in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        y = self.outputs(x, lengths)
        if lengths is not None:
            target = pack_padded_sequence(target, lengths).data
        loss = nn.functional.mse_loss(y, target)
        loss.backward()
        return loss

    def result(self) -> tuple[float, Weights]:
        loss = self.grads().item()
        return loss, {name: parameter.grad.numpy() for name, parameter in self.names.items()}

    def epoch(self) -> None:
        order = torch.randperm(self.x.shape[1])
        for rows in order.split(self.workload.N):
            self.backward(*self.minibatch(rows))
            nn.utils.clip_grad_norm_(self.parameters, CLIP)
            self.optimizer.step()

    def epochs(self, count: int) -> list[float]:
        return timed(self.epoch, count)
