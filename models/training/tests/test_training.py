import argparse

import pytest
import torch

import train
from export import TOLERANCE, difference, export, load_average
from loss import complete_iou, detection_loss, distribution
from network import BINS, CLASSES, Detector, Export, sides


def batch():
    torch.manual_seed(0)
    images = torch.ones(2, 1, 96, 96)
    images[0, 0, 20:52, 24:60] = 0
    images[1, 0, 40:80, 30:70] = 0
    truth = torch.tensor([[[24.0, 20, 60, 52]], [[30.0, 40, 70, 80]]])
    return images, truth, torch.tensor([[2], [4]]), torch.ones(2, 1, dtype=torch.bool)


def test_loss_goes_down_on_one_batch():
    images, *truth = batch()
    model = Detector(stem=8, fine=16, coarse=16, fine_blocks=1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss, _ = detection_loss(model(images), *truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.4 * losses[0]


def test_loss_of_a_batch_without_defects_is_finite():
    images, truth, labels, valid = batch()
    model = Detector(stem=8, fine=16, coarse=16).train()
    loss, _ = detection_loss(model(images), truth[:, :0], labels[:, :0], valid[:, :0])
    loss.backward()
    assert torch.isfinite(loss)


def test_complete_iou_is_one_for_equal_boxes_and_negative_for_distant_ones():
    a = torch.tensor([[0.0, 0, 2, 2]])
    assert float(complete_iou(a, a)) == pytest.approx(1, abs=1e-5)
    assert float(complete_iou(a, torch.tensor([[8.0, 8, 10, 10]]))) < 0


def test_distribution_is_least_at_the_distance_it_is_asked_for():
    logits = torch.full((1, 4, BINS), -20.0)
    logits[..., 3] = 20.0
    exact = distribution(logits, torch.full((1, 4), 3.0))
    off = distribution(logits, torch.full((1, 4), 4.0))
    assert float(exact) == pytest.approx(0, abs=1e-4) and float(off) > 10


def test_sides_are_the_expected_bin():
    logits = torch.full((1, 4 * BINS, 1, 1), -50.0)
    for side, distance in enumerate((0, 2, 5, BINS - 1)):
        logits[0, side * BINS + distance] = 50.0
    assert sides(logits).flatten().tolist() == pytest.approx([0, 2, 5, BINS - 1])


def test_decoded_box_stands_where_its_cell_is():
    class Fixed(torch.nn.Module):
        def forward(self, images):
            scores = torch.zeros(1, len(CLASSES), 4, 4)
            logits = torch.full((1, 4 * BINS, 4, 4), -50.0)
            for side, distance in enumerate((1, 2, 3, 4)):
                logits[0, side * BINS + distance] = 50.0
            return scores, logits

    output = Export(Fixed(), 32)(torch.zeros(1, 1, 32, 32))
    assert output.shape == (1, 10, 16)
    # Cell (x 2, y 1): centre 20,12; sides 8 left, 16 up, 24 right, 32 down.
    assert output[0, :4, 1 * 4 + 2].tolist() == pytest.approx([28, 20, 32, 48])
    assert output[0, 4:, 0].tolist() == pytest.approx([0.5] * 6)


def test_export_equals_pytorch(tmp_path):
    torch.manual_seed(0)
    model = Detector().eval()
    export(model, tmp_path / "model.onnx", 128)
    assert difference(model, tmp_path / "model.onnx", 128) <= TOLERANCE
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def arguments(folder, run, **changes):
    values = {
        "data": str(folder),
        "sim": None,
        "sim_share": 0.25,
        "mosaic": 0.5,
        "run": str(run),
        "resume": False,
        "steps": 4,
        "batch": 2,
        "size": 64,
        "rate": 1e-3,
        "seed": 1,
        "workers": 0,
        "threads": 1,
    }
    return argparse.Namespace(**(values | changes))


def test_resumed_training_ends_where_unbroken_training_ends(board_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "split", lambda ids: {"train": ids})
    train.train(arguments(board_folder, tmp_path / "whole"))
    monkeypatch.setattr(train, "SAVE_SECONDS", -1)

    def stop_after_two(path, **state):
        save(path, **state)
        if state["step"] == 2:
            raise KeyboardInterrupt

    save = train.save
    monkeypatch.setattr(train, "save", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        train.train(arguments(board_folder, tmp_path / "broken"))
    monkeypatch.setattr(train, "save", save)
    train.train(arguments(board_folder, tmp_path / "broken", resume=True))
    whole = load_average(tmp_path / "whole" / "last.pt").state_dict()
    broken = load_average(tmp_path / "broken" / "last.pt").state_dict()
    assert all(torch.allclose(whole[name], broken[name], atol=1e-6) for name in whole)


def test_rate_warms_up_peaks_and_ends_low():
    assert train.rate(0, 1000, 1.0) < 0.01
    assert train.rate(train.WARM_UP, 1000, 1.0) == pytest.approx(1.0)
    assert train.rate(1000, 1000, 1.0) == pytest.approx(0.01)
