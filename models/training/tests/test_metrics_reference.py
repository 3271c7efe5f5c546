"""The metrics against implementations that share no code with them."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluate import IOU33, summary
from metrics import Detections, Truth, curve
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


def overlap(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def paper(pairs, label):
    """The data set's paper in plain loops: a class's scores, best first, and whether each is right.

    Right is a detection whose IoU with a box of its class is larger than 0.33; a box is found once.
    """
    rows, wanted = [], 0
    for image, (detections, _) in enumerate(pairs):
        for k in range(len(detections.scores)):
            if detections.labels[k] == label:
                rows.append((float(detections.scores[k]), image, detections.boxes[k]))
    free = [[b for b, kind in zip(t.boxes, t.labels, strict=True) if kind == label] for _, t in pairs]
    wanted = sum(len(boxes) for boxes in free)
    judged = []
    for score, image, box in sorted(rows, key=lambda row: -row[0]):
        ranked = sorted(range(len(free[image])), key=lambda k: -overlap(box, free[image][k]))
        right = bool(ranked) and overlap(box, free[image][ranked[0]]) > IOU33
        if right:
            free[image].pop(ranked[0])
        judged.append((score, right))
    return judged, wanted


@pytest.mark.parametrize("seed", range(3))
def test_paper_metrics_equal_their_definition(seed):
    pairs = random_boards(seed)
    result = summary(pairs, [0.4] * 6)
    hits, alarms, boxes, areas = 0, 0, 0, []
    for label in range(6):
        judged, wanted = paper(pairs, label)
        points, right = [], 0
        for rank, (_, good) in enumerate(judged, 1):
            right += good
            points.append((right / wanted, right / rank))
        # The area under precision over recall, precision being the best at this recall or a higher one.
        steps = [max((p for r, p in points if r >= at), default=0.0) for at in np.linspace(0, 1, 101)]
        areas.append(sum(steps) / 101)
        kept = [good for score, good in judged if score >= 0.4]
        hits, alarms, boxes = hits + sum(kept), alarms + len(kept) - sum(kept), boxes + wanted
    precision, recall = hits / (hits + alarms), hits / boxes
    assert result["map_iou33"] == pytest.approx(np.mean(areas), abs=1e-9)
    assert result["f_iou33"] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-12)
    assert result["recall"] == pytest.approx(recall)


def test_reading_the_curve_at_101_recalls_is_the_area_under_it_to_a_point():
    pairs = random_boards(1, 200)
    for label in range(6):
        c = curve(pairs, label, IOU33)
        judged, wanted = paper(pairs, label)
        right, area = 0, 0.0
        for rank, (_, good) in enumerate(judged, 1):
            right += good
            area += good * right / rank / wanted
        assert area <= c.average_precision() + 1e-9
        assert c.average_precision() - area < 0.02
