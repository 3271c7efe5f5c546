import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from boards import board_ids, load_boards
from bundle import read_bundle
from evaluate import summary
from metrics import Detections, Truth
from network import CLASSES
from report import WINDOW, best_score, cases, confusion, judge, report, window

HALF = np.full(6, 0.5)
BOX = [10.0, 10, 30, 30]
NEAR = [12.0, 10, 32, 30]
FAR = [70.0, 70, 90, 90]


def found(*rows):
    return Detections(
        np.array([r[0] for r in rows], float).reshape(-1, 4),
        np.array([r[1] for r in rows], float),
        np.array([r[2] for r in rows], int),
    )


def truth(*rows):
    return Truth(np.array([r[0] for r in rows], float).reshape(-1, 4), np.array([r[1] for r in rows], int))


def test_the_right_class_has_the_first_claim_on_a_box():
    """A better score of another class neither takes the box nor counts as confused with it."""
    result = judge(found((BOX, 0.9, 1), (NEAR, 0.6, 0)), truth((BOX, 0)), HALF)
    assert [(k, m) for k, m, _ in result.hits] == [(1, 0)]
    assert result.hits[0][2] == pytest.approx(18 / 22)
    assert (result.confused, result.alarms, result.missed) == ([], [0], [])


def test_misses_alarms_and_confusions_are_told_apart():
    detections = found((BOX, 0.9, 1), (FAR, 0.8, 2), ([0, 50, 20, 70], 0.7, 3), ([40, 0, 60, 20], 0.4, 4))
    result = judge(detections, truth((BOX, 0), (FAR, 2), ([40.0, 0, 60, 20], 4)), HALF)
    assert [(k, m) for k, m, _ in result.hits] == [(1, 1)]
    assert (result.confused, result.alarms, result.missed) == ([(0, 0)], [2], [2])


def test_nothing_found_and_nothing_to_find():
    assert judge(found(), truth(), HALF) == judge(found((BOX, 0.1, 0)), truth(), HALF)
    assert judge(found(), truth((BOX, 0)), HALF).missed == [0]
    assert judge(found((BOX, 0.9, 0)), truth(), HALF).alarms == [0]


def test_confusion_adds_up_to_the_metric_at_the_same_thresholds():
    rng = np.random.default_rng(4)
    pairs = []
    for _ in range(30):
        corner = rng.uniform(0, 500, (5, 2))
        boxes, labels = np.concatenate((corner, corner + 50), 1), rng.integers(0, 6, 5)
        guesses = np.where(rng.random(5) < 0.8, labels, rng.integers(0, 6, 5))
        pairs.append(
            (Detections(boxes + rng.normal(0, 8, (5, 4)), rng.random(5), guesses), Truth(boxes, labels))
        )
    counts = confusion(pairs, [judge(f, t, HALF) for f, t in pairs])
    classes = summary(pairs, list(HALF))["classes"]
    for label, name in enumerate(CLASSES):
        hits = counts[label, label]
        assert hits == classes[name]["hits"]
        assert counts[label].sum() - hits == classes[name]["misses"]
        assert counts[:, label].sum() - hits == classes[name]["false_alarms"]
    assert counts[-1, -1] == 0 and counts[:-1, :-1].sum() > np.trace(counts)


def test_the_worst_of_each_kind_comes_first_and_is_named():
    pairs = [
        (found((BOX, 0.3, 0)), truth((BOX, 0), (FAR, 5))),
        (found((BOX, 0.6, 1), (FAR, 0.9, 2)), truth()),
    ]
    listed = cases(pairs, [judge(f, t, HALF) for f, t in pairs])
    texts = {kind: [c.text for c in listed if c.kind == kind] for kind in ("missed", "false alarm")}
    assert texts["missed"] == ["pin-hole: nothing found", "open: best score 0.30"]
    assert texts["false alarm"] == ["mousebite 0.90", "short 0.60"]
    assert best_score(found((BOX, 0.3, 0)), np.array(BOX), 1) == 0


def test_window_holds_its_box_and_stays_on_the_board():
    for box in ([0, 0, 20, 20], [600, 300, 640, 340], [100, 100, 400, 180]):
        x1, y1, x2, y2 = window(np.array(box, float), (640, 640))
        assert 0 <= x1 <= box[0] and 0 <= y1 <= box[1] and box[2] <= x2 <= 640 and box[3] <= y2 <= 640
        assert x2 - x1 == y2 - y1 >= WINDOW
    assert window(np.array([10.0, 10, 20, 20]), (50, 60)) == (0, 0, 60, 50)


@pytest.mark.parametrize("pair", [True, False])
def test_pictures_are_written_into_the_runs_folder(board_folder, tmp_path, pair):
    boards = load_boards(board_folder, board_ids(board_folder))
    if not pair:
        boards = [replace(board, template=None) for board in boards]
    run = tmp_path / "run"
    run.mkdir()
    pairs = [
        (found((boards[0].boxes[0], 0.9, 0), (BOX, 0.8, 3)), Truth(boards[0].boxes, boards[0].labels)),
        (found(), truth()),
    ]
    assert [p.name for p in report(run, boards, pairs, None)] == ["confusion.png", "pr.png", "worst.png"]
    lines = [{"step": 100, "rate": 1e-3, "cls": 2.0, "iou": 0.3, "dfl": 0.7}]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    paths = report(run, boards, pairs, [0.5] * 6)
    assert paths[-1].name == "curves.png"
    for path in paths:
        image = cv2.imread(str(path))
        assert min(image.shape[:2]) > 300 and image.std() > 5


def test_thresholds_come_from_the_bundles_manifest_by_name(tmp_path):
    rows = "".join(f"  - {{name: {name}, threshold: 0.{k}5}}\n" for k, name in enumerate(CLASSES))
    rest = "preprocess: {binarize: 128}\ndecoder: {family: dfl}\n"
    (tmp_path / "bundle.yaml").write_text(f"{rest}classes:\n{rows}")
    assert read_bundle(tmp_path).thresholds == [0.05, 0.15, 0.25, 0.35, 0.45, 0.55]
    turned = "\n".join(rows.splitlines()[::-1])
    (tmp_path / "bundle.yaml").write_text(f"{rest}classes:\n{turned}\n")
    with pytest.raises(SystemExit, match="list them as open, short"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.yaml").write_text("classes: [{name: cat, threshold: 0.5}]\n")
    with pytest.raises(SystemExit, match="no class open"):
        read_bundle(tmp_path)
