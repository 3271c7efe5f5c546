"""The metrics against implementations that share no code with them."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluate import summary
from metrics import Detections, Truth, f_score, paper_curve
from network import CLASSES


def random_boards(seed, count=40):
    """Boards with shaken, doubled, missed, misnamed and imagined boxes; some without truth or detections."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        size = int(rng.integers(0, 9))
        corner, side = rng.uniform(0, 560, (size, 2)), rng.uniform(20, 80, (size, 2))
        truth = Truth(np.concatenate((corner, corner + side), 1), rng.integers(0, 6, size))
        picked = np.flatnonzero(rng.random(size) < 0.85)
        picked = np.concatenate((picked, rng.permutation(picked)[: len(picked) // 3])).astype(int)
        boxes = truth.boxes[picked] + rng.normal(0, 4, (len(picked), 4))
        labels = np.where(rng.random(len(picked)) < 0.9, truth.labels[picked], rng.integers(0, 6))
        extra = int(rng.integers(0, 4))
        corner = rng.uniform(0, 560, (extra, 2))
        imagined = np.concatenate((corner, corner + rng.uniform(20, 80, (extra, 2))), 1)
        boxes = np.concatenate((boxes, imagined))
        labels = np.concatenate((labels, rng.integers(0, 6, extra))).astype(int)
        pairs.append((Detections(boxes, rng.random(len(boxes)), labels), truth))
    return pairs


def coco_precision(pairs):
    """pycocotools' precision [IoU 10, recall 101, class 6], -1 where a class has no truth."""
    truth, found, size = [], [], 0

    def row(image, box, label):
        x1, y1, x2, y2 = (float(v) for v in box)
        wide, high = x2 - x1, y2 - y1
        return {"image_id": image, "category_id": int(label) + 1, "bbox": [x1, y1, wide, high]}

    for image, (detections, real) in enumerate(pairs):
        for box, label in zip(real.boxes, real.labels, strict=True):
            size += 1
            area = float((box[2] - box[0]) * (box[3] - box[1]))
            truth.append(row(image, box, label) | {"id": size, "area": area, "iscrowd": 0})
        for box, label, score in zip(detections.boxes, detections.labels, detections.scores, strict=True):
            found.append(row(image, box, label) | {"score": float(score)})
    api = COCO()
    api.dataset = {
        "info": {},
        "images": [{"id": k} for k in range(len(pairs))],
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)],
        "annotations": truth,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        api.createIndex()
        judge = COCOeval(api, api.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][:, :, :, 0, -1]


@pytest.mark.parametrize("seed", range(3))
def test_coco_metrics_equal_pycocotools(seed):
    pairs = random_boards(seed)
    wanted, got = coco_precision(pairs), summary(pairs, None)
    assert 0.2 < wanted[0].mean() < 0.95
    assert got["map50"] == pytest.approx(wanted[0].mean(), abs=1e-9)
    assert got["map50_95"] == pytest.approx(wanted.mean(), abs=1e-9)
    for label, name in enumerate(CLASSES):
        assert got["classes"][name]["ap50"] == pytest.approx(wanted[0, :, label].mean(), abs=1e-9)
        assert got["classes"][name]["ap50_95"] == pytest.approx(wanted[:, :, label].mean(), abs=1e-9)


def test_absent_class_counts_neither_here_nor_there():
    pairs = [
        (Detections(f.boxes, f.scores, f.labels % 5), Truth(t.boxes, t.labels % 5))
        for f, t in random_boards(7)
    ]
    wanted = coco_precision(pairs)
    assert (wanted[:, :, 5] == -1).all()
    got = summary(pairs, None)
    assert got["map50"] == pytest.approx(wanted[0, :, :5].mean(), abs=1e-9)
    assert got["map50_95"] == pytest.approx(wanted[:, :, :5].mean(), abs=1e-9)


def agents_cases():
    """Cases of agent/internal/eval with figures that reference.py there computed; no ignored regions here."""
    path = Path(__file__).parents[3] / "agent/internal/eval/testdata/metrics.json"
    cases = json.loads(path.read_text())
    return [case for case in cases if not any(row[1] for i in case["images"] for row in i["labels"])]


def pairs_of(case):
    """Its images as detections beside truth."""

    def columns(rows):
        table = np.array(rows, float).reshape(-1, 6)
        return table[:, 2:], table[:, 1], table[:, 0].astype(int)

    pairs = []
    for image in case["images"]:
        boxes, scores, labels = columns(image["detected"])
        real, _, kinds = columns(image["labels"])
        pairs.append((Detections(boxes, scores, labels), Truth(real, kinds)))
    return pairs


def test_there_are_cases_with_and_without_labels_and_with_ties():
    names = {case["name"] for case in agents_cases()}
    assert {"boards", "ties of score and overlap", "images without labels", "nothing detected"} <= names
    assert {"a detection between two labels", "the same, labels in turned order"} <= names


@pytest.mark.parametrize("case", agents_cases(), ids=lambda case: case["name"])
def test_paper_metrics_equal_the_agents_reference(case):
    pairs, want = pairs_of(case), case["want"]
    curves = [paper_curve(pairs, label) for label in range(len(case["thresholds"]))]
    for c, wanted in zip(curves, want["ap_iou33"], strict=True):
        got = c.paper_precision()
        assert np.isnan(got) if wanted is None else got == pytest.approx(wanted, abs=1e-9)
    counts = [c.at(t) for c, t in zip(curves, case["thresholds"], strict=True)]
    assert f_score(*np.sum(counts, axis=0)) == pytest.approx(want["f_iou33"], abs=1e-9)


@pytest.mark.parametrize(
    "case",
    [case for case in agents_cases() if len(case["thresholds"]) <= len(CLASSES)],
    ids=lambda case: case["name"],
)
def test_summary_holds_the_papers_metrics_under_the_agents_names(case):
    thresholds = (case["thresholds"] + [0.5] * 6)[:6]
    result = summary(pairs_of(case), thresholds)
    known = [v for v in case["want"]["ap_iou33"] if v is not None]
    if known:
        assert result["map_iou33"] == pytest.approx(case["want"]["map_iou33"], abs=1e-9)
    else:
        assert np.isnan(result["map_iou33"])
    assert result["f_iou33"] == pytest.approx(case["want"]["f_iou33"], abs=1e-9)
