import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import network
import train
from boards import board_ids, load_boards
from loss import detection_loss

# Nets this small only wait for each other on several threads.
torch.set_num_threads(1)


def write_board(folder: Path, name: str, test: np.ndarray, template: np.ndarray, labels: str) -> None:
    """One pair in the deeppcb layout; labels as in the files, inclusive."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    for kind, image in (("test", test), ("temp", template)):
        cv2.imwrite(str(folder / "images" / f"{name}_{kind}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    (folder / "labels" / f"{name}.txt").write_text(labels)


@pytest.fixture
def board_folder(tmp_path):
    """Two boards of 128 px in the deeppcb layout: one with two defects, one clean."""
    template = np.full((128, 128), 255, np.uint8)
    template[:, 40:60] = 0
    test = template.copy()
    test[50:60, 40:60] = 255
    test[100:128, 110:128] = 0
    write_board(tmp_path, "00041000", test, template, "35 45 64 64 1\n108 98 127 127 5\n")
    write_board(tmp_path, "00041001", template, template, "")
    return tmp_path


@pytest.fixture
def tiny(monkeypatch):
    """Designs `tiny` and `tiny-pair`, small enough to train within a test, on one CPU thread."""
    shape = {"stem": 8, "kernel": 4, "widths": (16, 16), "blocks": (1, 1), "bins": 12}
    for name, inputs in (("tiny", 1), ("tiny-pair", 2)):
        monkeypatch.setitem(network.DESIGNS, name, network.Design(inputs=inputs, **shape))
    monkeypatch.setattr(train, "place", lambda: (torch.device("cpu"), None))


@pytest.fixture(scope="session")
def learned(tmp_path_factory):
    """A small pair detector that has learned its four boards by heart, and their folder."""
    folder = tmp_path_factory.mktemp("learned")
    for k in range(4):
        template = np.full((128, 128), 255, np.uint8)
        template[:, 20 + 8 * k : 40 + 8 * k] = 0
        test = template.copy()
        test[70:90, 84:108] = 0
        test[20:34, 20 + 8 * k : 40 + 8 * k] = 255
        rows = f"{16 + 8 * k} 16 {43 + 8 * k} 37 1\n80 66 111 93 5\n"
        write_board(folder, f"0004100{k}", test, template, rows)
    boards = load_boards(folder, board_ids(folder))
    images = torch.from_numpy(np.stack([b.planes(2) for b in boards])).float() / 255
    truth = torch.from_numpy(np.stack([b.boxes for b in boards]))
    labels = torch.from_numpy(np.stack([b.labels for b in boards]))
    torch.manual_seed(0)
    shape = {"stem": 8, "kernel": 4, "widths": (16, 16), "blocks": (1, 1), "bins": 12}
    model = network.Detector(network.Design(inputs=2, **shape))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        loss, _ = detection_loss(model(images), truth, labels, torch.ones_like(labels, dtype=torch.bool))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # The running averages of so short a training lag behind: replace them by the boards' own.
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
    with torch.no_grad():
        model(images)
    return model.eval(), folder
