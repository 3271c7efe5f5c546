"""The orthogonalized step: singular values, size, decay, and that it does learn."""

import pytest
import torch

import muon
from muon import Muon, orthogonal
from network import DESIGNS, Detector
from train import optimizers_for


@pytest.mark.parametrize("short", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 8), (16, 144), (144, 16), (1, 9)])
def test_orthogonal_has_singular_values_about_one(shape, short):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    result = orthogonal(matrix.to(short))
    values = torch.linalg.svdvals(result.float())
    assert result.shape == matrix.shape and result.dtype == short
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


def test_singular_values_come_where_the_comment_says():
    left, _, right = torch.linalg.svd(torch.randn(64, 64, generator=torch.Generator().manual_seed(9)))
    sizes = torch.logspace(-2.69, 0, 64)
    values = torch.linalg.svdvals(orthogonal((left * sizes) @ right) * 1)
    before = sizes / sizes.norm()
    reached = values.sort().values[(before >= 0.002).logical_not().sum() :]
    assert before.min() < 0.002 < before.max()
    assert reached.min() > 0.68 and values.max() < 1.21


@pytest.mark.parametrize("short", [None, torch.bfloat16])
def test_matrices_are_multiplied_in_the_short_type_only_where_it_is_given(monkeypatch, short):
    seen = []
    monkeypatch.setattr(muon, "orthogonal", lambda matrix: seen.append(matrix.dtype) or matrix)
    weight = torch.nn.Parameter(torch.zeros(4, 2, 3, 3))
    weight.grad = torch.ones_like(weight)
    Muon([weight], lr=1.0, short=short).step()
    assert seen == [short or torch.float32] and weight.dtype == torch.float32


@pytest.mark.parametrize("name", DESIGNS)
def test_every_parameter_is_in_one_optimizer_and_muon_has_the_inner_convolutions(name):
    model = Detector(DESIGNS[name])
    names = {id(p): n for n, p in model.named_parameters()}
    held = [[names[id(p)] for g in o.param_groups for p in g["params"]] for o in optimizers_for(model, 1e-3)]
    assert sorted(held[0] + held[1]) == sorted(names.values())
    inner = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert set(held[0]) == inner - {"classify.1.weight", "regress.1.weight"}
    assert "stem.conv.weight" in held[0] and len(held[0]) > 8


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
