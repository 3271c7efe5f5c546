import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))


@pytest.fixture
def board_folder(tmp_path):
    """Two boards of 128 px in the deeppcb layout: one with two defects, one clean."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    template = np.full((128, 128), 255, np.uint8)
    template[:, 40:60] = 0
    test = template.copy()
    test[50:60, 40:60] = 255
    test[100:128, 110:128] = 0
    for name, image, text in (
        ("00041000", test, "35 45 64 64 1\n108 98 127 127 5\n"),
        ("00041001", template, ""),
    ):
        cv2.imwrite(str(tmp_path / "images" / f"{name}_test.jpg"), image)
        cv2.imwrite(str(tmp_path / "images" / f"{name}_temp.jpg"), template)
        (tmp_path / "labels" / f"{name}.txt").write_text(text)
    return tmp_path
