"""The orthogonalized step: singular values, size, decay, and that it does learn."""

import pytest
import torch
from muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (16, 144), (144, 16), (1, 9)])
def test_orthogonal_has_singular_values_about_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    result = orthogonal(matrix)
    values = torch.linalg.svdvals(result)
    assert result.shape == matrix.shape
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_orthogonal_keeps_the_directions_of_the_matrix():
    matrix = torch.randn(6, 20, generator=torch.Generator().manual_seed(6))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ orthogonal(matrix) @ right.T
    off = inside - torch.diag(inside.diagonal())
    assert off.abs().max() < 1e-4
    assert inside.diagonal().min() > 0.5


def test_orthogonal_of_nothing_is_nothing():
    assert orthogonal(torch.zeros(4, 9)).abs().max() == 0


def test_first_step_has_the_size_of_adams():
    weight = torch.nn.Parameter(torch.zeros(32, 16, 3, 3))
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(7)) * 1e-4
    Muon([weight], lr=1.0, weight_decay=0).step()
    assert weight.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)
    assert (weight * weight.grad).sum() < 0  # downhill


def test_decay_shrinks_and_a_weight_without_gradient_stays():
    weight, idle = torch.nn.Parameter(torch.ones(2, 1, 1, 1)), torch.nn.Parameter(torch.ones(2, 1, 1, 1))
    weight.grad = torch.zeros_like(weight)
    Muon([weight, idle], lr=0.5, weight_decay=0.1).step()
    assert torch.equal(weight, torch.full_like(weight, 0.95))
    assert torch.equal(idle, torch.ones_like(idle))


def test_steps_reach_a_minimum():
    generator = torch.Generator().manual_seed(8)
    target = torch.randn(4, 2, 3, 3, generator=generator)
    weight = torch.nn.Parameter(torch.zeros_like(target))
    muon = Muon([weight], lr=0.1, weight_decay=0)
    before = target.square().mean()
    for step in range(200):
        muon.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        weight.grad = weight.detach() - target
        muon.step()
    assert (weight - target).square().mean() < 0.02 * before
