"""Golden vectors of the families of task detection.

Each file holds a model's outputs, made up with a seed, and what must be found in them, computed here in
float64 from the formats' definitions, with suppression by torchvision. All boxes found are in frame pixels.

Sources of the formats: yolov8, yolov5, end2end: Ultralytics' documentation of exported models; dfl: Li et
al., Generalized Focal Loss, 2020; yolox: Ge et al., YOLOX, 2021; detr: Carion et al., DETR, 2020, and Zhu et
al., Deformable DETR, 2021; labelled: the documented outputs of RT-DETR's deployment; ssd: Liu et al., SSD,
2016.
"""

import argparse
import gzip
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision

from geometry import Geometry
from pack import pack

CLEAR = 1e-6  # no score is nearer to the floor or to another, no overlap nearer to its limit


@dataclass
class Settings:
    """What a manifest says of the decoder."""

    classes: int = 3
    score_floor: float = 0.05
    nms_iou: float = 0.5
    class_agnostic: bool = False
    max_detections: int = 100
    activation: str = ""
    coordinates: str = ""
    corners: str = ""
    no_object: str = ""


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def softmax(v, axis):
    e = np.exp(v - v.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def corners(boxes):
    """Makes x1 y1 x2 y2 of boxes [N, 4], centre and size."""
    cx, cy, w, h = boxes.T
    return np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1)


def centres(boxes):
    x1, y1, x2, y2 = boxes.T
    return np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1)


def grids(width, height):
    """Column, row and stride of each cell of strides 8, 16 and 32 [N, 3]."""
    cells = []
    for stride in (8, 16, 32):
        rows, columns = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([columns, rows, np.full_like(rows, stride)], -1).reshape(-1, 3))
    return np.concatenate(cells)


# Decoders: of float64 outputs they make boxes [N, 4] in input pixels and scores [N, classes].


def yolov8(outputs, s, size):
    return corners(outputs[0][0, :4].T), outputs[0][0, 4:].T


def yolov5(outputs, s, size):
    rows = outputs[0][0]
    return corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:]


def yolox(outputs, s, size):
    rows, cells = outputs[0][0], grids(*size)
    boxes = np.concatenate([rows[:, :2] + cells[:, :2], np.exp(rows[:, 2:4])], 1) * cells[:, 2:]
    return corners(boxes), rows[:, 4:5] * rows[:, 5:]


def dfl(outputs, s, size):
    scores, distances = outputs[0][0], outputs[1][0]
    _, high, wide = scores.shape
    bins = distances.shape[0] // 4
    away = np.einsum("skhw,k->shw", softmax(distances.reshape(4, bins, high, wide), 1), np.arange(bins))
    y, x = np.mgrid[:high, :wide] + 0.5
    boxes = np.stack([x - away[0], y - away[1], x + away[2], y + away[3]], -1) * (size[0] / wide)
    return boxes.reshape(-1, 4), sigmoid(scores).reshape(s.classes, -1).T


def ssd(outputs, s, size):
    boxes, scores = outputs[0][0], outputs[1][0]
    if s.corners == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    elif s.corners == "cxcywh":
        boxes = corners(boxes)
    if s.coordinates == "unit":
        boxes = boxes * (size * 2)
    if s.activation == "softmax":
        scores = softmax(scores, 1)
    elif s.activation == "sigmoid":
        scores = sigmoid(scores)
    return boxes, {"none": scores, "first": scores[:, 1:], "last": scores[:, :-1]}[s.no_object]


def detr(outputs, s, size):
    logits, boxes = outputs[0][0], corners(outputs[1][0]) * (size * 2)
    if s.activation == "sigmoid":
        return boxes, sigmoid(logits)
    probability = softmax(logits, 1)[:, :-1]
    best = probability == probability.max(1, keepdims=True)
    return boxes, np.where(best, probability, 0)


def end2end(outputs, s, size):
    return listed(outputs[0][0, :, 5], outputs[0][0, :, :4], outputs[0][0, :, 4], s)


def labelled(outputs, s, size):
    labels, boxes, scores = outputs
    return listed(labels[0] - (s.no_object == "first"), boxes[0], scores[0], s)


def listed(classes, boxes, scores, s):
    return boxes, np.where(classes[:, None] == np.arange(s.classes), scores[:, None], 0)


SUPPRESSED = (yolov8, yolov5, yolox, dfl, ssd)


def found(decoder, outputs, s: Settings, g: Geometry):
    """What is to be found: class, score and box in the frame, best first."""
    boxes, scores = decoder([o.astype(np.float64) for o in outputs], s, g.input)
    if np.abs(scores - s.score_floor).min() < CLEAR:
        raise SystemExit("a score is too near to the floor: take another seed")
    cells, classes = np.nonzero(scores >= s.score_floor)
    boxes, scores = boxes[cells], scores[cells, classes]
    order = np.argsort(-scores)
    if len(order) > 1 and np.diff(-scores[order]).min() < CLEAR:
        raise SystemExit("two scores are too near to each other: take another seed")
    if decoder in SUPPRESSED and len(order):
        order = suppressed(boxes, scores, classes, s)
    boxes = g.clip(g.to_frame(boxes.reshape(-1, 2, 2))).reshape(-1, 4)
    return [
        {"class": int(classes[i]), "score": scores[i], "box": boxes[i].tolist()}
        for i in order
        if (boxes[i, :2] < boxes[i, 2:]).all()
    ][: s.max_detections]


def suppressed(boxes, scores, classes, s: Settings):
    boxes, groups = torch.from_numpy(boxes), torch.from_numpy(classes * (not s.class_agnostic))
    if (torchvision.ops.box_iou(boxes, boxes) - s.nms_iou).abs().min() < CLEAR:
        raise SystemExit("an overlap is too near to its limit: take another seed")
    boxes = boxes - boxes.min()  # batched_nms moves classes apart by the largest coordinate
    return torchvision.ops.batched_nms(boxes, torch.from_numpy(scores), groups, s.nms_iou).numpy()


# Scenes: plausible boxes and scores, which each family then writes in its own way.


def scene(rng, cells, classes, size, objects=12, each=6):
    """Boxes [cells, 4] in input pixels and scores [cells, classes]: some objects, each seen by several cells
    and by some with another class, too; near to nothing elsewhere. Some objects reach out of the input."""
    span = np.array(size * 2)
    boxes = corners(rng.uniform([0, 0, 0.05, 0.05], [1, 1, 0.4, 0.4], (cells, 4))) * span
    scores = rng.choice(2.0 ** -np.arange(8, 14), (cells, classes))  # few values: files stay small
    places = rng.permutation(cells)
    for n in range(min(objects, cells // each)):
        seen = places[n * each : (n + 1) * each]
        box = np.array([*rng.uniform(0, 1, 2), *rng.uniform(0.08, 0.4, 2)]) * span
        boxes[seen] = corners(box + rng.normal(0, 0.03, (len(seen), 4)) * [*box[2:], *box[2:]])
        scores[seen, rng.integers(classes)] = rng.uniform(0.02, 0.98, len(seen))
        scores[seen[0], rng.integers(classes)] = rng.uniform(0.1, 0.9)
    return boxes, scores


def logits(p):
    return np.log(p / (1 - p))


def write_yolov8(rng, s, size):
    boxes, scores = scene(rng, 252, s.classes, size)
    return [("output0", np.concatenate([centres(boxes), scores], 1).T)]


def with_object(rng, boxes, scores):
    """Divides scores into objectness and the class's own."""
    whole = np.maximum(rng.uniform(0.5, 1, len(scores)) * scores.max(1) ** 0.3, scores.max(1))[:, None]
    return np.concatenate([boxes, np.minimum(whole, 1), scores / whole], 1)


def write_yolov5(rng, s, size):
    boxes, scores = scene(rng, 252, s.classes, size)
    return [("output0", with_object(rng, centres(boxes), scores))]


def write_yolox(rng, s, size):
    cells = grids(*size)
    boxes, scores = scene(rng, len(cells), s.classes, size)
    boxes = centres(boxes) / cells[:, 2:]
    boxes = np.concatenate([boxes[:, :2] - cells[:, :2], np.log(boxes[:, 2:])], 1)
    return [("output", with_object(rng, boxes, scores))]


def write_dfl(rng, s, size):
    high, wide, bins = size[1] // 8, size[0] // 8, 6
    _, scores = scene(rng, high * wide, s.classes, size, objects=8, each=4)
    return [
        ("scores", logits(scores).T.reshape(s.classes, high, wide)),
        ("distances", rng.normal(0, 2, (4 * bins, high, wide)).round(3)),
    ]


def write_ssd(rng, s, size):
    boxes, scores = scene(rng, 200, s.classes, size)
    if s.coordinates == "unit":
        boxes = boxes / (size * 2)
    if s.corners == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    elif s.corners == "cxcywh":
        boxes = centres(boxes)
    if s.activation == "softmax":
        nothing = np.maximum(1 - scores.sum(1, keepdims=True), 0.01)
    else:
        nothing = rng.uniform(0.01, 0.99, (len(scores), 1))
    if s.no_object != "none":
        scores = np.concatenate([nothing, scores] if s.no_object == "first" else [scores, nothing], 1)
    if s.activation == "softmax":
        scores = np.log(scores) + rng.normal(0, 1, (len(scores), 1))
    elif s.activation == "sigmoid":
        scores = logits(scores)
    return [("boxes", boxes), ("scores", scores)]


def write_detr(rng, s, size):
    boxes, scores = scene(rng, 100, s.classes, size, each=2)
    if s.activation == "softmax":
        scores = np.concatenate([scores, np.maximum(1 - scores.sum(1, keepdims=True), 0.01)], 1)
        scores = np.log(scores) + rng.normal(0, 1, (len(scores), 1))
    else:
        scores = logits(scores)
    return [("logits", scores), ("boxes", centres(boxes) / (size * 2))]


def rows_of(rng, s, size, rows=60, padded=20):
    boxes, scores = scene(rng, rows, s.classes, size, each=2)
    classes, scores = scores.argmax(1), scores.max(1)
    boxes[-padded:], scores[-padded:] = 0, 0
    return classes, boxes, scores


def write_end2end(rng, s, size):
    classes, boxes, scores = rows_of(rng, s, size)
    classes[-3:] = -1  # as some exporters pad
    return [("output0", np.concatenate([boxes, scores[:, None], classes[:, None]], 1))]


def write_labelled(rng, s, size):
    classes, boxes, scores = rows_of(rng, s, size)
    return [("labels", classes + (s.no_object == "first")), ("boxes", boxes), ("scores", scores)]


def variants(name):
    """Settings and geometries of a family's cases."""
    size = (128, 96)
    geometries = [
        Geometry((200, 150), size),
        Geometry((90, 160), size),
        Geometry((301, 65), size),
        Geometry((150, 101), size, stretch=True),
    ]
    settings = [{}, {"class_agnostic": True}, {"max_detections": 7}, {"nms_iou": 0.3, "score_floor": 0.2}]
    own = {
        "ssd": [
            {"activation": "none", "coordinates": "pixels", "corners": "xyxy", "no_object": "none"},
            {"activation": "softmax", "coordinates": "unit", "corners": "yxyx", "no_object": "first"},
            {"activation": "sigmoid", "coordinates": "unit", "corners": "cxcywh", "no_object": "last"},
            {"activation": "none", "coordinates": "pixels", "corners": "yxyx", "no_object": "last"},
        ],
        "detr": [{"activation": a} for a in ("sigmoid", "softmax", "sigmoid", "softmax")],
        "labelled": [{"no_object": n} for n in ("none", "first", "none", "first")],
    }.get(name, [{}] * 4)
    for g, common, special in zip(geometries, settings, own, strict=True):
        yield g, Settings(**common, **special)


FAMILIES = {
    "yolov8": (write_yolov8, yolov8),
    "dfl": (write_dfl, dfl),
    "yolov5": (write_yolov5, yolov5),
    "yolox": (write_yolox, yolox),
    "end2end": (write_end2end, end2end),
    "detr": (write_detr, detr),
    "ssd": (write_ssd, ssd),
    "labelled": (write_labelled, labelled),
}


def case(rng, write, decoder, g, s):
    outputs = [(name, values[None].astype(np.float32)) for name, values in write(rng, s, g.input)]
    return {
        "input": g.input,
        "frame": g.frame,
        "left": g.left,
        "top": g.top,
        "width": g.width,
        "height": g.height,
        "settings": asdict(s),
        "outputs": [{"name": name, "dims": v.shape, "values": pack(v)} for name, v in outputs],
        "found": found(decoder, [v for _, v in outputs], s, g),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="agent/internal/worker/decode/testdata")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, (write, decoder)) in enumerate(FAMILIES.items()):
        rng = np.random.default_rng(seed)
        cases = [case(rng, write, decoder, g, s) for g, s in variants(name)]
        raw = json.dumps({"family": name, "cases": cases}, separators=(",", ":")).encode()
        path = folder / f"{name}.json.gz"
        path.write_bytes(gzip.compress(raw, 9, mtime=0))
        print(f"{path}: {[len(c['found']) for c in cases]} findings, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
