"""Bundles of small networks that give turned boxes, masks of prototypes and semantic masks.

Each is trained for a minute or two on drawn bars and discs, exported to ONNX, and run by ONNX Runtime on
drawn pictures; what it finds there, by the reference decoders of masks.py, are its golden samples.
"""

import argparse
import io
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.segmentation.lraspp import LRASPP

from geometry import Geometry
from masks import Settings, oriented, rows_with_objectness, segments, semantic

SIDE, STRIDE, CLASSES = 128, 8, ("bar", "disc")
GRID = SIDE // STRIDE
PROTOTYPES, FINE = 6, 4  # channels of masks, and input pixels of one of their pixels
STEPS, BATCH = 1200, 8
THRESHOLD, MARGIN = 0.5, 0.05
FRAME = (200, 150)


def block(inside, outside, stride=1):
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


class Trunk(nn.Module):
    """Features of a quarter and an eighth of the input's size."""

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(block(3, 8, 2), block(8, 16, 2), block(16, 16))
        self.coarse = nn.Sequential(block(16, 32, 2), block(32, 32), block(32, 32))

    def forward(self, x):
        fine = self.fine(x)
        return {"low": fine, "high": self.coarse(fine)}


class Boxes(nn.Module):
    """YOLOv8's output: centre, size, scores, and the radians of a turn or the coefficients of a mask."""

    def __init__(self, masks):
        super().__init__()
        self.trunk, self.masks = Trunk(), masks
        self.head = nn.Conv2d(32, 4 + len(CLASSES) + (PROTOTYPES if masks else 1), 1)
        nn.init.constant_(self.head.bias[4:6], -4)
        if masks:
            self.prototypes = nn.Sequential(block(16, 16), nn.Conv2d(16, PROTOTYPES, 1))
        y, x = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
        self.register_buffer("middles", (torch.stack([x, y]) + 0.5).float())

    def raw(self, x):
        features = self.trunk(x)
        out = self.head(features["high"])
        centre = (self.middles + out[:, :2]) * STRIDE
        size = out[:, 2:4].clamp(-4, 4).exp() * STRIDE
        last = out[:, 6:] if self.masks else (out[:, 6:].sigmoid() - 0.25) * torch.pi
        fields = self.prototypes(features["low"]) if self.masks else None
        return centre, size, out[:, 4:6], last, fields

    def forward(self, x):
        centre, size, logits, last, fields = self.raw(x)
        rows = torch.cat([centre, size, logits.sigmoid(), last], 1).flatten(2)
        return (rows, fields) if self.masks else rows


class Rows(nn.Module):
    """The same as YOLOv5 exports it: row by row, how certain it is that there is anything, then of what."""

    def __init__(self, boxes):
        super().__init__()
        self.boxes = boxes

    def forward(self, x):
        columns, fields = self.boxes(x)
        rows = columns.transpose(1, 2)
        scores = rows[..., 4 : 4 + len(CLASSES)]
        certain = scores.amax(2, keepdim=True).sqrt()
        return torch.cat([rows[..., :4], certain, scores / certain, rows[..., 4 + len(CLASSES) :]], 2), fields


class Masks(nn.Module):
    """torchvision's LR-ASPP on a small trunk: logits of background, bar and disc."""

    def __init__(self):
        super().__init__()
        self.model = LRASPP(Trunk(), 16, 32, 1 + len(CLASSES), inter_channels=16)

    def forward(self, x):
        return self.model(x)["out"]


def draw(r, wide, high, count):
    """A picture [h, w, 3] of bars and discs, and each one's class, cx, cy, w, h, angle and mask."""
    picture = r.normal(45, 8, (high, wide, 3))
    things = []
    for _ in range(20 * count):
        kind = int(r.integers(2))
        w = r.uniform(24, 46) if kind == 0 else r.uniform(16, 30)
        h = r.uniform(8, 13) if kind == 0 else w
        angle = r.uniform(-np.pi / 4 + 0.2, 3 * np.pi / 4 - 0.2) if kind == 0 else np.pi / 4
        cx, cy = r.uniform(w / 2, wide - w / 2), r.uniform(w / 2, high - w / 2)
        if any(np.hypot(cx - t[1], cy - t[2]) < (w + t[3]) / 2 + 4 for t in things) or len(things) == count:
            continue
        mask = np.zeros((high, wide), np.uint8)
        if kind == 0:
            corners = cv2.boxPoints(((cx, cy), (w, h), np.degrees(angle)))
            cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 1, shift=4)
        else:
            cv2.circle(mask, (round(cx * 16), round(cy * 16)), round(w / 2 * 16), 1, -1, shift=4)
        colour = r.uniform(150, 230) * np.array([1, 0.9, 0.6] if kind == 0 else [0.6, 0.8, 1])
        picture[mask > 0] = colour + r.normal(0, 6, (int(mask.sum()), 3))
        things.append((kind, cx, cy, w, h, angle, mask))
    return np.clip(picture, 0, 255).astype(np.uint8), things


def sample(r):
    picture, things = draw(r, SIDE, SIDE, int(r.integers(1, 5)))
    border = int(r.integers(0, 20))
    things = [t for t in things if border + 2 < t[2] < SIDE - border - 2]
    picture[:border], picture[SIDE - border :] = 114, 114
    for t in things:
        t[-1][:border], t[-1][SIDE - border :] = 0, 0
    return picture, things


def batch(r):
    samples = [sample(r) for _ in range(BATCH)]
    pictures = np.stack([p for p, _ in samples]).transpose(0, 3, 1, 2)
    return torch.from_numpy(pictures).float() / 255, [things for _, things in samples]


def boxes_loss(net, x, all_things):
    centre, size, logits, last, fields = net.raw(x)
    wanted, weight = torch.zeros_like(logits), torch.ones_like(logits)
    loss = torch.zeros(())
    for i, things in enumerate(all_things):
        for kind, cx, cy, w, h, angle, mask in things:
            away = ((net.middles * STRIDE - torch.tensor([cx, cy])[:, None, None]) ** 2).sum(0).sqrt()
            near = away < 0.8 * STRIDE
            weight[i, :, (away < 1.8 * STRIDE) & ~near] = 0
            wanted[i, kind, near] = 1
            if net.masks:
                y, x_ = np.nonzero(mask)
                x1, x2, y1, y2 = x_.min(), x_.max() + 1, y.min(), y.max() + 1
                cx, cy, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
            place = torch.tensor([cx, cy]).float()[:, None], torch.tensor([w, h]).float()[:, None]
            loss = loss + ((centre[i, :, near] - place[0]).abs() / STRIDE).mean()
            loss = loss + 2 * (size[i, :, near].log() - place[1].log()).abs().mean()
            if net.masks:
                loss = loss + mask_loss(fields[i], last[i, :, near], mask, (x1, y1, x2, y2))
            elif kind == 0:
                loss = loss + 2 * (last[i, 0, near] - angle).abs().mean()
    scores = F.binary_cross_entropy_with_logits(logits, wanted, weight, reduction="none")
    focal = scores * (wanted - logits.sigmoid()).abs()
    return loss / len(all_things) + 5 * focal.sum() / wanted.sum().clamp(1)


def mask_loss(fields, weights, mask, box):
    small = cv2.resize(mask.astype(np.float32), (SIDE // FINE,) * 2, interpolation=cv2.INTER_AREA)
    x1, y1, x2, y2 = (v // FINE for v in box)
    crop = np.s_[..., y1 : y2 + 1, x1 : x2 + 1]
    logits = torch.einsum("mhw,mk->khw", fields, weights)[crop]
    target = torch.from_numpy(small)[crop].expand_as(logits)
    return 2 * F.binary_cross_entropy_with_logits(logits, target)


def semantic_loss(net, x, all_things):
    target = np.zeros((len(all_things), SIDE, SIDE), np.int64)
    for i, things in enumerate(all_things):
        for kind, *_, mask in things:
            target[i][mask > 0] = 1 + kind
    return F.cross_entropy(net(x), torch.from_numpy(target), weight=torch.tensor([0.3, 1, 1]))


def train(net, loss_of, seed):
    r = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, STEPS)
    for step in range(STEPS):
        loss = loss_of(net, *batch(r))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 199:
            print(f"step {step + 1}: loss {loss:.3f}")
    return net.eval()


def export(net, names):
    file = io.BytesIO()
    torch.onnx.export(
        net,
        torch.zeros(1, 3, SIDE, SIDE),
        file,
        opset_version=17,
        input_names=["images"],
        output_names=names,
        dynamo=False,
    )
    model = onnx.load_from_string(file.getvalue())
    model.doc_string, model.producer_version = "", ""
    return model.SerializeToString()


def letterboxed(picture, g: Geometry):
    """The input [1, 3, h, w] of a picture [h, w, 3] in red, green, blue."""
    out = np.full((g.input[1], g.input[0], 3), 114, np.uint8)
    small = cv2.resize(picture, (g.width, g.height), interpolation=cv2.INTER_LINEAR)
    out[g.top : g.top + g.height, g.left : g.left + g.width] = small
    return out.transpose(2, 0, 1)[None].astype(np.float32) / 255


def expected(found, classes):
    """What a golden sample lists; None when a score is so near to the threshold that it proves nothing."""
    if any(abs(f["score"] - THRESHOLD) < MARGIN for f in found):
        return None
    return [
        {"class": classes[f["class"]], "score": round(f["score"], 4), "box": np.round(f["box"], 2).tolist()}
        | ({"area": round(f["area"], 1)} if "area" in f else {})
        for f in found
        if f["score"] >= THRESHOLD
    ]


def picture_of(count, first_seed, find):
    """The first picture of so many things on which as many are found, and what is found there."""
    for seed in range(first_seed, first_seed + 200):
        picture, things = draw(np.random.default_rng(seed), *FRAME, count)
        picture = picture // 16 * 16  # so that files stay small
        found = find(picture)
        if found is not None and len(found) == count == len(things):
            return picture, found
    raise SystemExit(f"no picture of {count} on which all is found: train longer")


def write(folder, family, net, names, decode, classes, keys=""):
    folder = folder / family
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    model = export(net, names)
    (folder / "model.onnx").write_bytes(model)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    g, samples = Geometry(FRAME, (SIDE, SIDE)), []

    def find(picture):
        return expected(decode(session.run(None, {"images": letterboxed(picture, g)}), g), classes)

    for i, count in enumerate([4, 2, 0]):
        picture, found = picture_of(count, 1000 * (i + 1), find)
        name = f"golden/{i + 1}"
        cv2.imwrite(str(folder / f"{name}.png"), picture[..., ::-1])
        (folder / f"{name}.json").write_text(json.dumps(found) + "\n")
        samples.append(f"    - {{image: {name}.png, expect: {name}.json}}\n")
        print(f"{family} {name}: {count} drawn, {len(found)} found: {found}")
    names_of_classes = "".join(f"  - {{name: {c}, threshold: {THRESHOLD}}}\n" for c in classes)
    (folder / "bundle.yaml").write_text(
        f"name: {family}\nversion: 1.0.0\ninput: {{width: {SIDE}, height: {SIDE}}}\n"
        f"decoder: {{family: {family}, score_floor: 0.1, nms_iou: 0.5{keys}}}\n"
        f"classes:\n{names_of_classes}providers: {{order: [{{name: cpu}}]}}\n"
        "golden:\n  box_tolerance: 0.5\n  score_tolerance: 0.02\n  area_tolerance: 0.02\n  samples:\n"
        + "".join(samples)
    )
    print(f"{folder}: model of {len(model)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="agent/internal/worker/infer/ort/testdata/families")
    folder = parser.parse_args().folder
    s = Settings(len(CLASSES))
    torch.manual_seed(1)
    net = train(Boxes(False), boxes_loss, 1)
    write(folder, "yolov8-obb", net, ["output0"], lambda o, g: oriented(o[0][0], s, g), CLASSES)
    net = train(Boxes(True), boxes_loss, 2)
    names = ["output0", "output1"]
    write(folder, "yolov8-seg", net, names, lambda o, g: segments(o[0][0], o[1][0], s, g), CLASSES)
    write(
        folder,
        "yolov5-seg",
        Rows(net).eval(),
        names,
        lambda o, g: segments(rows_with_objectness(o[0][0], s), o[1][0], s, g),
        CLASSES,
    )
    net = train(Masks(), semantic_loss, 3)
    s = Settings(1 + len(CLASSES), activation="softmax", background=0, min_area=40)
    classes = ("background", *CLASSES)
    write(folder, "semantic", net, ["mask"], lambda o, g: semantic(o[0][0], s, g), classes, ", min_area: 40")


if __name__ == "__main__":
    main()
