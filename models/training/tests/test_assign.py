import pytest
import torch

from assign import TOP, assign, iou
from network import grid


def case(truth, labels, side=10, classes=2):
    centres = grid(side, side)
    boxes = torch.cat((centres - 2, centres + 2), 1).unsqueeze(0)
    scores = torch.full((1, side * side, classes), 0.5)
    truth = torch.tensor([truth], dtype=torch.float32).reshape(1, -1, 4)
    valid = torch.ones(truth.shape[:2], dtype=torch.bool)
    return assign(scores, boxes, centres, truth, torch.tensor([labels]).reshape(1, -1), valid)


def test_iou_of_known_boxes():
    a = torch.tensor([0.0, 0, 2, 2])
    assert float(iou(a, torch.tensor([1.0, 1, 3, 3]))) == torch.tensor(1 / 7)
    assert float(iou(a, torch.tensor([5.0, 5, 6, 6]))) == 0


def test_cells_inside_learn_the_box_and_the_best_fit_gets_the_highest_target():
    targets, boxes, learns = case([[3.5, 3.5, 7.5, 7.5]], [1])
    centres = grid(10, 10)
    assert 0 < int(learns.sum()) <= TOP
    assert ((centres[learns[0]] > 3.5) & (centres[learns[0]] < 7.5)).all()
    best = int(targets[0, :, 1].argmax())
    assert centres[best].tolist() == [5.5, 5.5]
    assert abs(float(targets[0, best, 1]) - 1) < 1e-3
    assert targets[0, :, 0].sum() == 0
    assert (boxes[learns] == torch.tensor([3.5, 3.5, 7.5, 7.5])).all()


def test_a_cell_in_two_boxes_learns_the_better_fit():
    targets, boxes, learns = case([[3.5, 3.5, 7.5, 7.5], [4.5, 4.5, 9.5, 9.5]], [0, 1])
    cell = 5 * 10 + 5
    assert learns[0, cell]
    assert boxes[0, cell].tolist() == [3.5, 3.5, 7.5, 7.5]
    assert (targets[0] > 0).sum(1).max() == 1


def test_the_target_of_a_shared_cell_is_its_own_boxs_quality():
    """Cell 5.5,5.5 fits its box by 1 and the other by less; the other's best cell has that one's overlap."""
    targets, _, _ = case([[3.5, 3.5, 7.5, 7.5], [4.5, 3.5, 8.5, 7.5]], [0, 0])
    assert float(targets[0, 5 * 10 + 5, 0]) == pytest.approx(1, abs=1e-3)
    assert float(targets[0, 5 * 10 + 6, 0]) == pytest.approx(1, abs=1e-3)
    # One cell to the left: overlap 12 of 20 with its box, beside a best metric of one.
    assert float(targets[0, 5 * 10 + 4, 0]) == pytest.approx(0.6**6, abs=1e-3)


def test_nothing_to_find_teaches_background():
    targets, _, learns = case([], [])
    assert targets.sum() == 0 and learns.sum() == 0


def test_padding_is_never_assigned():
    centres = grid(10, 10)
    truth = torch.tensor([[[3.0, 3, 7, 7]]])
    boxes = torch.cat((centres - 2, centres + 2), 1).unsqueeze(0)
    none = torch.zeros(1, 1, dtype=torch.bool)
    labels = torch.zeros(1, 1, dtype=torch.int64)
    _, _, learns = assign(torch.full((1, 100, 2), 0.5), boxes, centres, truth, labels, none)
    assert learns.sum() == 0


def test_box_without_any_overlap_yet_still_has_learners():
    centres = grid(10, 10)
    truth = torch.tensor([[[3.0, 3, 7, 7]]])
    nothing = torch.zeros(1, 100, 4)
    some = torch.ones(1, 1, dtype=torch.bool)
    labels = torch.zeros(1, 1, dtype=torch.int64)
    _, _, learns = assign(torch.full((1, 100, 2), 0.5), nothing, centres, truth, labels, some)
    assert learns.sum() > 0
