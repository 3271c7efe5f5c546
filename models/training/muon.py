"""Muon: momentum whose step is orthogonalized, for the convolutions (Jordan et al., 2024)."""

import torch

# Quintic iteration whose slope at zero is steep. The matrix is first divided by its norm; of the singular
# values it then has, five rounds bring those from 0.002 up to 0.68 .. 1.20. Smaller ones stay below.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The nearest matrix with singular values about 1, by Newton-Schulz iteration. [R,C] -> [R,C]."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Steps of convolution weights [O,I,k,k], taken as matrices [O,I*k*k].

    The step's root mean square is made that of AdamW (0.2, Liu et al., 2025), so both share a rate.
    Matrices are multiplied in `short` where the hardware has it, else in their own type.
    """

    def __init__(
        self,
        weights,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        short: torch.dtype | None = None,
    ):
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.short = short

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)

    def _move(self, weight: torch.Tensor, group: dict) -> None:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        past = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
        ahead = weight.grad.lerp(past, group["momentum"])  # Nesterov
        step = orthogonal(ahead.flatten(1).to(self.short or ahead.dtype)).to(ahead.dtype)
        size = 0.2 * max(step.shape) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(step.view_as(weight), alpha=-group["lr"] * size)
