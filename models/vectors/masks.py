"""Golden vectors of turned boxes, masks of prototypes and semantic masks.

Each file holds a model's outputs, made up with a seed, and what must be found in them, computed here in
float64 from the formats' definitions: suppression by torchvision and shapely, parts and borders of masks by
OpenCV and contourpy. All boxes and borders are in frame pixels.
"""

import argparse
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import contourpy
import cv2
import numpy as np
import torch
import torchvision
from shapely.geometry import Polygon

from geometry import Geometry
from pack import pack

CLEAR = 1e-4  # no logit of a mask is nearer to zero, so that rounding to float32 decides nothing


@dataclass
class Settings:
    """What a manifest says of the decoder."""

    classes: int
    score_floor: float = 0.1
    nms_iou: float = 0.5
    class_agnostic: bool = False
    max_detections: int = 20
    activation: str = ""
    background: int = -1
    min_area: float = 1.0


def candidates(scores, floor):
    """All pairs of class and cell of scores [classes, N] that reach the floor, best first."""
    classes, cells = np.nonzero(scores >= np.float32(floor))
    order = np.lexsort((cells, classes, -scores[classes, cells]))
    return classes[order], cells[order], scores[classes, cells][order]


def corners(cx, cy, w, h, angle):
    """The corners [4, 2] of a turned box; the angle goes from the x axis to the y axis, which points down."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    return upright @ turn.T + [cx, cy]


def oriented(predictions, s: Settings, g: Geometry):
    """Decodes [4+classes+1, N]: cx cy w h in input pixels, scores, angle in radians."""
    rows = predictions.astype(np.float64)
    kept = []
    for c, cell, score in zip(*candidates(predictions[4 : 4 + s.classes], s.score_floor), strict=True):
        quad = corners(*rows[:4, cell], rows[-1, cell])
        shape = Polygon(quad)
        if all(
            shape.intersection(o).area <= s.nms_iou * shape.union(o).area
            for k, _, _, o in kept
            if s.class_agnostic or k == c
        ):
            kept.append((c, score, quad, shape))
    found = []
    for c, score, quad, _ in kept:
        box = g.box(np.concatenate([quad.min(0), quad.max(0)]))
        if box is not None:
            outline = g.to_frame(quad)
            found.append(finding(c, score, box, Polygon(outline).area, outline))
    return found[: s.max_detections]


def suppressed(boxes, scores, classes, s: Settings):
    """Indices of the boxes that stay, best first."""
    groups = np.zeros_like(classes) if s.class_agnostic else classes
    kept = torchvision.ops.batched_nms(*map(torch.from_numpy, (boxes, scores, groups)), s.nms_iou)
    return kept.numpy()


def rows_with_objectness(rows, s: Settings):
    """What [N, 5+classes+M], with objectness behind the box, is as [4+classes+M, N]."""
    scores = rows[:, 4:5] * rows[:, 5 : 5 + s.classes]
    return np.concatenate([rows[:, :4], scores, rows[:, 5 + s.classes :]], 1).T


def segments(predictions, prototypes, s: Settings, g: Geometry):
    """Decodes [4+classes+M, N], cx cy w h in input pixels, scores, coefficients; and prototypes [M, h, w]."""
    classes, cells, scores = candidates(predictions[4 : 4 + s.classes], s.score_floor)
    cx, cy, w, h = predictions[:4, cells].astype(np.float64)
    boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1)
    found = []
    for i in suppressed(boxes, scores.astype(np.float64), classes, s):
        box = g.box(boxes[i])
        if box is not None:
            weights = predictions[4 + s.classes :, cells[i]].astype(np.float64)
            logits = np.tensordot(weights, prototypes.astype(np.float64), 1)
            found.append(finding(classes[i], scores[i], box, *mask_in_box(logits, boxes[i], g)))
    return found[: s.max_detections]


def mask_in_box(logits, box, g: Geometry):
    """Area in frame pixels and border in the frame of where logits [h, w] are over 0, their pixels' middles
    in the box and in the frame."""
    high, wide = logits.shape
    scale = np.array(g.input) / [wide, high]
    x, y = (np.arange(wide) + 0.5) * scale[0], (np.arange(high) + 0.5) * scale[1]
    x1, y1 = np.maximum(box[:2], [g.left, g.top])
    x2, y2 = np.minimum(box[2:], [g.left + g.width, g.top + g.height])
    inside = ((y >= y1) & (y < y2))[:, None] & ((x >= x1) & (x < x2))[None, :]
    if np.abs(logits[inside]).min(initial=1) < CLEAR:
        raise SystemExit("a logit is too near to zero: take another seed")
    mask = inside & (logits > 0)
    if not mask.any():
        return 0.0, None
    area = mask.sum() * np.prod(scale) * np.prod(g.scale)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    largest = parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    line = level_line(logits, inside, largest)
    return area, g.clip(g.to_frame((line + 0.5) * scale))


def level_line(logits, inside, part):
    """The line [K, 2] around a part of a mask where the logits pass through zero, in pixels from the first
    pixel's middle; half way to pixels that are not inside."""
    field = np.pad(np.where(inside & (part | (logits < 0)), logits, np.nan), 1, constant_values=np.nan)
    filled = field.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside = -np.roll(field, step, axis)
        take = np.isnan(field) & (beside < 0) & ~(filled < -1e-9)
        filled[take] = beside[take]
    filled[np.isnan(filled)] = -1
    lines = contourpy.contour_generator(z=filled).lines(0.0)
    lines = sorted((Polygon(line) for line in lines if len(line) > 3), key=lambda p: -p.area)
    if not all(lines[0].contains(hole) for hole in lines[1:]):
        raise SystemExit("a part that hangs together at a corner has two lines: take another seed")
    return np.array(lines[0].exterior.coords) - 1


def semantic(mask, s: Settings, g: Geometry):
    """Decodes numbers [classes, h, w], or labels [h, w]."""
    values = mask.astype(np.float64)
    if mask.ndim == 2:
        layers = [(c, mask == c) for c in range(s.classes)]
        probability = np.ones((s.classes, *mask.shape))
    elif s.activation == "sigmoid":
        probability = 1 / (1 + np.exp(-values))
        layers = [(c, probability[c] > 0.5) for c in range(s.classes)]
    else:
        probability = values
        if s.activation == "softmax":
            powers = np.exp(values - values.max(0))
            probability = powers / powers.sum(0)
        layers = [(c, values.argmax(0) == c) for c in range(s.classes)]
    found = []
    for c, layer in layers:
        if c != s.background:
            found += parts_of(c, layer, probability[c], s, g)
    found.sort(key=lambda f: f[0])
    largest = [f for _, f in found[: s.max_detections]]
    return sorted(largest, key=lambda f: -f["score"])


def parts_of(c, layer, probability, s: Settings, g: Geometry):
    high, wide = layer.shape
    scale = np.array(g.input) / [wide, high]
    x, y = (np.arange(wide) + 0.5) * scale[0], (np.arange(high) + 0.5) * scale[1]
    framed = (y >= g.top) & (y < g.top + g.height), (x >= g.left) & (x < g.left + g.width)
    layer = layer & framed[0][:, None] & framed[1][None, :]
    count, parts, stats, _ = cv2.connectedComponentsWithStats(layer.astype(np.uint8), connectivity=8)
    for i in range(1, count):
        left, top, width, height, pixels = stats[i]
        area = pixels * np.prod(scale) * np.prod(g.scale)
        score = probability[parts == i].mean()
        if area < s.min_area or score < s.score_floor:
            continue
        box = g.box(np.array([left, top, left + width, top + height]) * np.tile(scale, 2))
        lines, _ = cv2.findContours((parts == i).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        border = g.clip(g.to_frame((lines[0].reshape(-1, 2) + 0.5) * scale))
        first = tuple(int(v) for v in np.argwhere(parts == i)[0])
        yield (-int(pixels), *first), finding(c, score, box, area, border)


def finding(c, score, box, area, border):
    one = {"class": int(c), "score": float(score), "box": [round(float(v), 6) for v in box]}
    if border is not None:
        one |= {"area": round(float(area), 6), "border": np.round(border, 3).tolist()}
    return one


# Outputs that a model might give.


def coarse(values, step=1 / 64):
    """Rounds, so that files stay small; float32 holds such numbers exactly."""
    return (np.round(np.asarray(values) / step) * step).astype(np.float32)


def scored_boxes(r, cells, classes, size):
    """Rows [4+classes, N]: bundles of similar boxes, as models give them, and cells without anything."""
    places = r.uniform(0.02, 0.98, (cells // 12, 2)) * size
    shapes = r.uniform(14, 90, (cells // 12, 2))
    which = r.integers(0, len(places), cells)
    rows = np.zeros((4 + classes, cells))
    rows[:2] = (places[which] + r.normal(0, 3, (cells, 2))).T
    rows[2:4] = (shapes[which] * r.uniform(0.85, 1.15, (cells, 2))).T
    scores = r.uniform(0, 0.08, (classes, cells))
    scores[which % classes, np.arange(cells)] = r.uniform(0.02, 0.97, cells)
    twice = r.random(cells) < 0.1
    scores[(which + 1) % classes, np.arange(cells)] += np.where(twice, 0.4, 0)
    rows[4:] = np.minimum(scores, 0.999)
    return coarse(rows[:4]), rows[4:].astype(np.float32), which


def smooth(r, channels, high, wide, grain):
    """Random fields [channels, h, w] without fine detail."""
    small = r.normal(0, 1, (channels, -(-high // grain) + 1, -(-wide // grain) + 1))
    return np.stack([cv2.resize(f, (wide, high), interpolation=cv2.INTER_CUBIC) for f in small])


def oriented_case(seed, s, g, cells=240):
    r = np.random.default_rng(seed)
    boxes, scores, which = scored_boxes(r, cells, s.classes, g.input)
    angles = r.uniform(-np.pi / 4, 3 * np.pi / 4, cells)[which] + r.normal(0, 0.05, cells)
    rows = np.concatenate([boxes, scores, coarse(angles[None], 1 / 1024)])
    return case(s, g, [("output0", rows[None])], oriented(rows, s, g))


def segments_case(seed, s, g, cells=120, prototypes=6, shrink=8, objectness=False):
    r = np.random.default_rng(seed)
    boxes, scores, which = scored_boxes(r, cells, s.classes, g.input)
    weights = r.normal(0, 1, (cells // 12, prototypes))[which].T + r.normal(0, 0.05, (prototypes, cells))
    rows = np.concatenate([boxes, scores, coarse(weights, 1 / 256)])
    fields = smooth(r, prototypes, g.input[1] // shrink, g.input[0] // shrink, 4)
    fields = coarse(fields, 1 / 128) + np.float32(1 / 1031)
    if objectness:
        certain = r.uniform(0.3, 1, (cells, 1)).astype(np.float32)
        output = np.concatenate([rows[:4].T, certain, rows[4:].T], 1)
        found = segments(rows_with_objectness(output, s), fields, s, g)
        return case(s, g, [("output0", output[None]), ("output1", fields[None])], found)
    outputs = [("output0", rows[None]), ("output1", fields[None])]
    return case(s, g, outputs, segments(rows, fields, s, g))


def semantic_case(seed, s, g, high, wide, kind="planes"):
    r = np.random.default_rng(seed)
    fields = smooth(r, s.classes, high, wide, 6) * 3
    if s.background >= 0:
        fields[s.background] += 3
    elif s.activation == "sigmoid":
        fields -= 3
    values = coarse(fields, 1 / 8) + (np.arange(s.classes, dtype=np.float32) / 512)[:, None, None]
    if s.activation == "none":
        powers = np.exp(values - values.max(0))
        values = (powers / powers.sum(0)).astype(np.float32)
    if kind == "labels":
        values = values.argmax(0).astype(np.float32)
    return case(s, g, [("mask", values[None])], semantic(values, s, g))


def case(s, g, outputs, found):
    return {
        "input": g.input,
        **g.described(),
        "settings": vars(s),
        "found": found,
        "outputs": [
            {
                "name": name,
                "dims": values.shape,
                "values": pack(values),
            }
            for name, values in outputs
        ],
    }


def families():
    even = Geometry((800, 600), (320, 320))
    odd = Geometry((640, 490), (320, 320))
    tall = Geometry((300, 900), (160, 288))
    wide = Geometry((700, 500), (320, 256), stretch=True)
    yield (
        "yolov8-obb",
        [
            oriented_case(1, Settings(3), even),
            oriented_case(2, Settings(1, nms_iou=0.3), odd),
            oriented_case(3, Settings(4, class_agnostic=True, max_detections=8), wide),
            oriented_case(4, Settings(2, score_floor=0.3, nms_iou=0.7, max_detections=100), tall),
        ],
    )
    yield (
        "yolov8-seg",
        [
            segments_case(110, Settings(3), even),
            segments_case(120, Settings(1, nms_iou=0.3), odd, shrink=4),
            segments_case(130, Settings(2, class_agnostic=True, max_detections=8), wide),
            segments_case(140, Settings(2, score_floor=0.3), tall, prototypes=4),
        ],
    )
    yield (
        "yolov5-seg",
        [
            segments_case(151, Settings(3), even, objectness=True),
            segments_case(160, Settings(2, class_agnostic=True), tall, prototypes=4, objectness=True),
        ],
    )
    yield (
        "semantic",
        [
            semantic_case(21, Settings(3, background=0, activation="softmax"), even, 80, 80),
            semantic_case(22, Settings(1, activation="sigmoid", min_area=200), odd, 80, 80),
            semantic_case(23, Settings(2, activation="sigmoid", max_detections=5), wide, 64, 80),
            semantic_case(24, Settings(3, background=1, activation="none"), tall, 72, 40),
            semantic_case(25, Settings(4, background=0, activation="softmax"), even, 160, 160, "labels"),
            semantic_case(26, Settings(5, background=-1, activation="softmax", min_area=0), wide, 64, 80),
        ],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="agent/internal/worker/decode/testdata")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, cases in families():
        raw = json.dumps({"family": name, "cases": cases}, separators=(",", ":")).encode()
        path = folder / f"{name}.json.gz"
        path.write_bytes(gzip.compress(raw, 9, mtime=0))
        print(
            f"{path}: {len(cases)} cases, {sum(len(c['found']) for c in cases)} findings, "
            f"{path.stat().st_size} bytes"
        )


if __name__ == "__main__":
    main()
