"""Bundles of a small network that gives boxes in each family's way.

One network of cells is trained for a minute on drawn bars and discs, exported to ONNX with the output of each
family, and run by ONNX Runtime on drawn pictures; what it finds there, by the reference decoders of
detectors.py, are its golden samples. Families that suppress nothing get the peaks of the scores.

    python detectors_networks.py ../../agent/internal/worker/infer/ort/testdata/families
"""

import argparse
import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

import detectors
from detectors import Settings
from geometry import Geometry
from masks_networks import block, letterboxed

SIDE, STRIDES, CLASSES = 128, (8, 16, 32), ("bar", "disc")
SIZES = ((16, 24), (34, 44), (64, 80))  # pixels of what each stride sees
STEPS, BATCH, QUERIES = 700, 16, 20
FLOOR, THRESHOLD, MARGIN = 0.1, 0.5, 0.05
FRAME = (200, 150)


def draw(rng, width, height, count):
    """A picture [h, w, 3] with so many bars and discs, and of each class, stride and box x1 y1 x2 y2."""
    picture = np.full((height, width, 3), rng.integers(60, 120, 3), np.uint8)
    picture = (picture + rng.integers(0, 12, picture.shape)).astype(np.uint8)
    things = []
    for _ in range(20 * count):
        if len(things) == count:
            break
        level, kind = rng.integers(3), rng.integers(2)
        w, h = rng.integers(*SIZES[level], 2)
        w, h = int(w), int(h)
        x, y = (int(v) for v in rng.integers(0, [width - w, height - h]))
        box = (x, y, x + w, y + h)
        if any(
            box[0] < b[2] + 4 and b[0] < box[2] + 4 and box[1] < b[3] + 4 and b[1] < box[3] + 4
            for _, _, b in things
        ):
            continue
        colour = [int(v) for v in rng.integers(180, 256, 3)]
        if kind == 0:
            cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), colour, -1)
        else:
            cv2.ellipse(picture, ((x + w / 2 - 0.5, y + h / 2 - 0.5), (w - 1, h - 1), 0), colour, -1)
        things.append((int(kind), int(level), box))
    return picture, things


class Cells(nn.Module):
    """For each cell of each stride: offsets of the centre and logarithms of the size in cells, logits of an
    object and of the classes, [N, 336, 7]."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(block(3, 8, 2), block(8, 12, 2), block(12, 16))
        self.levels = nn.ModuleList(
            [
                nn.Sequential(block(16, 24, 2), block(24, 24)),
                nn.Sequential(block(24, 24, 2), block(24, 24)),
                nn.Sequential(block(24, 24, 2), block(24, 24)),
            ]
        )
        self.heads = nn.ModuleList([nn.Conv2d(24, 5 + len(CLASSES), 1) for _ in STRIDES])
        for head in self.heads:
            nn.init.constant_(head.bias[4:5], -4)

    def forward(self, x):
        x, rows = self.stem(x), []
        for level, head in zip(self.levels, self.heads, strict=True):
            x = level(x)
            rows.append(head(x).flatten(2))
        return torch.cat(rows, 2).transpose(1, 2)


GRID = torch.from_numpy(detectors.grids(SIDE, SIDE)).float()


def targets(things):
    """Rows as Cells gives them, and which cells are about an object: those around its middle."""
    rows, about = torch.zeros(len(GRID), 4 + len(CLASSES)), torch.zeros(len(GRID), dtype=torch.bool)
    for kind, level, (x1, y1, x2, y2) in things:
        stride = STRIDES[level]
        cx, cy = (x1 + x2) / 2 / stride, (y1 + y2) / 2 / stride
        near = (GRID[:, 2] == stride) & ((GRID[:, :2] + 0.5 - torch.tensor([cx, cy])).abs().amax(1) < 1)
        rows[near, 0], rows[near, 1] = cx - GRID[near, 0], cy - GRID[near, 1]
        rows[near, 2], rows[near, 3] = np.log((x2 - x1) / stride), np.log((y2 - y1) / stride)
        rows[near, 4 + kind] = 1
        about |= near
    return rows, about


def train():
    torch.manual_seed(1)
    rng, net = np.random.default_rng(1), Cells()
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, STEPS)
    for step in range(STEPS):
        drawn = [draw(rng, SIDE, SIDE, rng.integers(0, 4)) for _ in range(BATCH)]
        pictures = np.stack([p for p, _ in drawn]).transpose(0, 3, 1, 2).astype(np.float32) / 255
        rows, about = map(torch.stack, zip(*[targets(t) for _, t in drawn], strict=True))
        out = net(torch.from_numpy(pictures))
        loss = F.binary_cross_entropy_with_logits(out[..., 4], about.float(), reduction="sum")
        out, rows = out[about], rows[about]
        loss = loss + 3 * F.l1_loss(out[:, :4], rows[:, :4], reduction="sum")
        loss = loss + F.binary_cross_entropy_with_logits(out[:, 5:], rows[:, 4:], reduction="sum")
        loss = loss / max(about.sum(), 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    return net.eval()


class Head(nn.Module):
    """The trained cells with the output of a family."""

    def __init__(self, cells, write):
        super().__init__()
        self.cells, self.write = cells, write
        self.register_buffer("grid", GRID)

    def forward(self, images, *constants):
        out = self.cells(images)
        centre = (out[..., :2] + self.grid[:, :2]) * self.grid[:, 2:]
        size = out[..., 2:4].exp() * self.grid[:, 2:]
        return self.write(out, torch.cat([centre, size], 2), *constants)


def chances(out):
    return out[..., 4:5].sigmoid() * out[..., 5:].sigmoid()


def edges(boxes):
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], 2)


def yolov8(out, boxes):
    return torch.cat([boxes, chances(out)], 2).transpose(1, 2)


def yolov5(out, boxes):
    return torch.cat([boxes, out[..., 4:].sigmoid()], 2)


def yolox(out, boxes):
    return torch.cat([out[..., :4], out[..., 4:].sigmoid()], 2)


def ssd(out, boxes):
    p = chances(out).clamp(1e-6, 0.999999)
    nothing = (1 - p.sum(2, keepdim=True)).clamp(1e-6)
    return edges(boxes)[..., [1, 0, 3, 2]] / SIDE, torch.cat([nothing, p], 2).log()


def peaks(out, boxes):
    """The cells [1, QUERIES] that score highest in their neighbourhood, their boxes and scores."""
    p, kept, first = chances(out), [], 0
    for stride in STRIDES:
        side = SIDE // stride
        level = p[:, first : first + side * side].transpose(1, 2).reshape(1, len(CLASSES), side, side)
        best = level.amax(1, keepdim=True)
        level = torch.where(level == F.max_pool2d(best, 5, 1, 2), level, torch.zeros_like(level))
        kept.append(level.flatten(2).transpose(1, 2))
        first += side * side
    p = torch.cat(kept, 1)
    best = p.amax(2).topk(QUERIES, 1).indices
    return boxes[:, best[0]], p[:, best[0]]


def end2end(out, boxes):
    boxes, p = peaks(out, boxes)
    return torch.cat([edges(boxes), p.amax(2, keepdim=True), p.argmax(2, keepdim=True).float()], 2)


def detr(out, boxes):
    boxes, p = peaks(out, boxes)
    p = p.clamp(1e-6, 0.999999)
    return torch.log(p / (1 - p)), boxes / SIDE


def labelled(out, boxes, orig_target_sizes):
    boxes, p = peaks(out, boxes)
    sizes = torch.cat([orig_target_sizes, orig_target_sizes], 1).float().unsqueeze(1)
    return p.argmax(2), edges(boxes) / SIDE * sizes, p.amax(2)


# By family: the names of the outputs, and what its manifest says besides.
FAMILIES = {
    "yolov8": (yolov8, ["output0"], {}),
    "yolov5": (yolov5, ["output0"], {}),
    "yolox": (yolox, ["output"], {}),
    "end2end": (end2end, ["output0"], {}),
    "detr": (detr, ["logits", "boxes"], {"activation": "sigmoid"}),
    "ssd": (
        ssd,
        ["boxes", "scores"],
        {"activation": "softmax", "coordinates": "unit", "corners": "yxyx", "no_object": "first"},
    ),
    "labelled": (labelled, ["labels", "boxes", "scores"], {"no_object": "none"}),
}


def exported(cells, family):
    write, names, _ = FAMILIES[family]
    inputs = {"images": torch.zeros(1, 3, SIDE, SIDE)}
    if family == "labelled":
        inputs["orig_target_sizes"] = torch.tensor([[SIDE, SIDE]])
    raw = io.BytesIO()
    torch.onnx.export(
        Head(cells, write).eval(),
        tuple(inputs.values()),
        raw,
        input_names=list(inputs),
        output_names=names,
        opset_version=17,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load_from_string(raw.getvalue()), full_check=True)
    return raw.getvalue()


def looker(model, family):
    """Finds what is in a picture, or says None where a score would be too near to a threshold."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    settings = replace(Settings(len(CLASSES), FLOOR), **FAMILIES[family][2])

    def look(picture):
        g = Geometry((picture.shape[1], picture.shape[0]), (SIDE, SIDE))
        feed = {"images": letterboxed(picture, g)}
        if family == "labelled":
            feed["orig_target_sizes"] = np.array([[SIDE, SIDE]], np.int64)
        try:
            found = detectors.found(getattr(detectors, family), session.run(None, feed), settings, g)
        except SystemExit:
            return None
        if any(abs(d["score"] - THRESHOLD) < MARGIN for d in found):
            return None
        return [d for d in found if d["score"] >= THRESHOLD]

    return look


def picture_of(count, first_seed, look):
    """The first picture of so many things on which as many are found, and what is found there."""
    for seed in range(first_seed, first_seed + 300):
        picture, things = draw(np.random.default_rng(seed), *FRAME, count)
        picture = picture // 16 * 16  # so that files stay small
        found = look(picture)
        if found is not None and len(found) == count == len(things):
            return picture, found
    raise SystemExit(f"no picture of {count} on which all is found: train longer")


def expected(d):
    box = [round(v, 3) for v in d["box"]]
    return {"class": CLASSES[d["class"]], "score": round(d["score"], 5), "box": box}


def bundle(folder, family, cells):
    model, keys = exported(cells, family), FAMILIES[family][2]
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    look, samples = looker(model, family), ""
    for n, count in enumerate((4, 2, 0), 1):
        picture, found = picture_of(count, 1000 * n, look)
        cv2.imwrite(str(folder / f"golden/{n}.png"), picture[..., ::-1])
        (folder / f"golden/{n}.json").write_text(json.dumps([expected(d) for d in found]) + "\n")
        samples += f"    - {{image: golden/{n}.png, expect: golden/{n}.json}}\n"
    constants = f", constants: {{orig_target_sizes: [{SIDE}, {SIDE}]}}" if family == "labelled" else ""
    image = ", name: images" if family == "labelled" else ""
    own = "".join(f", {key}: {value}" for key, value in keys.items())
    (folder / "bundle.yaml").write_text(
        f"name: {family}\nversion: 1.0.0\ninput: {{width: {SIDE}, height: {SIDE}{image}{constants}}}\n"
        f"decoder: {{family: {family}, score_floor: {FLOOR}, nms_iou: 0.5{own}}}\nclasses:\n"
        + "".join(f"  - {{name: {name}, threshold: {THRESHOLD}}}\n" for name in CLASSES)
        + "providers: {order: [{name: cpu}]}\n"
        "golden:\n  box_tolerance: 0.5\n  score_tolerance: 0.02\n  samples:\n" + samples
    )
    print(f"{folder}: model of {len(model)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="agent/internal/worker/infer/ort/testdata/families")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    cells = train()
    for family in FAMILIES:
        bundle(folder / family, family, cells)


if __name__ == "__main__":
    main()
