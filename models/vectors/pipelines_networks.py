"""Bundles of two small networks: one finds things, the other sees each of them, cut out of the frame.

The first is the network of family yolov8 that detectors_networks.py has trained. The second is trained here
for some seconds on what is drawn, things that are whole, that have a scratch, or a dark spot: a classifier of
these three, or one that measures the spot. A scratch is a line of two pixels of the frame, less than one of
the first network's input. The golden samples are what ONNX Runtime, the reference decoder and the cut
described in docs/bundle.md find: a box with its margin, out to whole pixels, scaled by OpenCV.

    python pipelines_networks.py ../../agent/internal/worker/infer/ort/testdata/families
"""

import argparse
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from detectors_networks import CLASSES as THINGS
from detectors_networks import FLOOR, FRAME, THRESHOLD, draw, looker

STATES = ("whole", "scratched", "spotted")
SIDE, GROWN, WIDER = 64, 2, 0.1  # of a crop; of a frame over what is drawn; the margin
BATCH, SEEN, SURE = 64, 6000, 0.9
LIMIT, NEAR = 12, 2  # pixels: of the spots that are allowed, and how far from it a sample's are


@dataclass
class Thing:
    box: np.ndarray  # x1 y1 x2 y2
    state: int
    spot: int  # diameter in pixels of the frame; 0 without one


def marked(rng, count):
    """A frame [h, w, 3] with so many things."""
    small, drawn = draw(rng, *FRAME, count)
    picture = np.repeat(np.repeat(small // 16 * 16, GROWN, 0), GROWN, 1)
    things = []
    for _, _, box in drawn:
        box = np.array(box) * GROWN
        state, spot = int(rng.integers(len(STATES))), 0
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        if state == 1:
            turn = rng.uniform(0, np.pi)
            reach = 0.32 * size.min() * np.array([np.cos(turn), np.sin(turn)])
            middle = middle + rng.uniform(-0.1, 0.1, 2) * size
            ends = [tuple(int(v) for v in np.round(middle + s * reach)) for s in (-1, 1)]
            cv2.line(picture, *ends, (40, 40, 40), 2)
        if state == 2:
            at = tuple(int(v) for v in np.round(middle + rng.uniform(-0.15, 0.15, 2) * size))
            radius = int(max(rng.uniform(0.1, 0.2) * size.min(), 4))
            cv2.circle(picture, at, radius, (40, 40, 40), -1)
            spot = 2 * radius + 1
        things.append(Thing(box, state, spot))
    return picture, things


def cut(picture, box):
    """What the second network sees of a box and its margin, out to whole pixels: [3, 64, 64] from 0 to 1, and
    how wide and high that is in the frame.
    """
    box, (high, wide) = np.asarray(box, np.float64), picture.shape[:2]
    more = (box[2:] - box[:2]) * WIDER
    x1, y1 = np.maximum(np.floor(box[:2] - more), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(box[2:] + more), [wide, high]).astype(int)
    crop = cv2.resize(picture[y1:y2, x1:x2], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return crop.transpose(2, 0, 1).astype(np.float32) / 255, np.array([x2 - x1, y2 - y1])


def layers():
    widths, made = [3, 8, 12, 16, 20], []
    for before, after in zip(widths, widths[1:], strict=False):
        made += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return made


def classifier():
    """Logits [N, 3] of crops [N, 3, 64, 64]."""
    return nn.Sequential(*layers(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(20, len(STATES)))


def measurer():
    """Width and height of a spot as parts of the crop, [N, 2]."""
    return nn.Sequential(*layers(), nn.Flatten(), nn.Linear(320, 16), nn.ReLU(), nn.Linear(16, 2))


def seen():
    """Crops [N, 3, 64, 64] a little off, their states [N] and spots [N, 2] as parts of the crop."""
    rng, crops, states, spots = np.random.default_rng(3), [], [], []
    while len(crops) < SEEN:
        picture, things = marked(rng, 4)
        for thing in things:
            near = thing.box + rng.uniform(-0.06, 0.06, 4) * np.tile(thing.box[2:] - thing.box[:2], 2)
            crop, size = cut(picture, np.clip(near, 0, np.tile(picture.shape[1::-1], 2)))
            crops.append(crop)
            states.append(thing.state)
            spots.append(thing.spot / size)
    return torch.from_numpy(np.stack(crops)), torch.tensor(states), torch.tensor(np.stack(spots)).float()


def train(net, crops, wanted, loss_of, steps):
    rng = np.random.default_rng(4)
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(0, len(crops) - 1000, BATCH))
        optimizer.zero_grad()
        loss_of(net(crops[chosen]), wanted[chosen]).backward()
        optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        print(f"loss on 1000 crops that it has not seen: {loss_of(net(crops[-1000:]), wanted[-1000:]):.4f}")
    return net


def exported(net, output):
    raw = io.BytesIO()
    torch.onnx.export(
        net, torch.zeros(2, 3, SIDE, SIDE), raw, input_names=["crops"], output_names=[output],
        opset_version=17, dynamic_axes={"crops": {0: "n"}, output: {0: "n"}}, dynamo=False,
    )  # fmt: skip
    onnx.checker.check_model(onnx.load_from_string(raw.getvalue()), full_check=True)
    return raw.getvalue()


def row(name, found, score):
    box = [round(v, 3) for v in found["box"]]
    return {"class": name, "score": round(float(score), 5), "box": box}


def classified(logits, _, found):
    """What becomes of a finding: a row, nothing, or None where a score is near to a threshold."""
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    state = int(scores.argmax())
    if scores[state] < SURE:
        return None
    return [row(STATES[state], found, scores[state])] if state else []


def measured(parts, size, found):
    spot = parts * size
    if abs(spot[0] - LIMIT) < NEAR:
        return None
    if spot[0] <= LIMIT:
        return []
    return [row("spot", found, found["score"]) | {"measures": [round(float(v), 3) for v in spot]}]


def judged(session, judge, picture, found):
    """What is left of the first network's findings, best first; None where that is not sure."""
    left = []
    for d in found:
        crop, size = cut(picture, d["box"])
        rows = judge(session.run(None, {"crops": crop[None]})[0][0].astype(np.float64), size, d)
        if rows is None:
            return None
        left += rows
    return sorted(left, key=lambda row: -row["score"])


def sample(first, second, judge, defects, count, wanted, first_seed):
    """The first frame of so many things, so many of them bad, on which all is found, and what is left."""
    for seed in range(first_seed, first_seed + 2000):
        picture, things = marked(np.random.default_rng(seed), count)
        bad = sorted(name for name in map(defects, things) if name)
        if len(things) != count or len(bad) != wanted:
            continue
        found = first(picture)
        if found is None or len(found) != count:
            continue
        left = judged(second, judge, picture, found)
        if left is None or sorted(row["class"] for row in left) != bad:
            continue
        if defects is too_large or len(set(bad)) == min(wanted, len(STATES) - 1):
            return picture, left
    raise SystemExit(f"no picture of {count} on which all is right: train longer")


def state_of(thing):
    return STATES[thing.state] if thing.state else ""


def too_large(thing):
    return "spot" if thing.spot > LIMIT else ""


def bundle(out, first_model, model, judge, defects, then):
    """Write a bundle; then is what its manifest says of the second network."""
    (out / "golden").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(first_model, out / "model.onnx")
    (out / "second.onnx").write_bytes(model)
    first = looker(first_model.read_bytes(), "yolov8")
    second = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    samples = ""
    for n, (count, bad) in enumerate(((4, 2), (3, 1), (2, 0)), 1):
        picture, left = sample(first, second, judge, defects, count, bad, 10000 * n)
        cv2.imwrite(str(out / f"golden/{n}.png"), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
        (out / f"golden/{n}.json").write_text(json.dumps(left) + "\n")
        samples += f"    - {{image: golden/{n}.png, expect: golden/{n}.json}}\n"
        print(f"sample {n}: {count} things, bad: {[row['class'] for row in left]}")
    (out / "bundle.yaml").write_text(
        f"name: {out.name}\nversion: 1.0.0\ninput: {{width: 128, height: 128}}\n"
        f"decoder: {{family: yolov8, score_floor: {FLOOR}, nms_iou: 0.5}}\nclasses:\n"
        + "".join(f"  - {{name: {name}, threshold: {THRESHOLD}}}\n" for name in THINGS)
        + f"then:\n  model: second.onnx\n  margin: {WIDER}\n  input: {{width: {SIDE}, height: {SIDE}}}\n"
        f"  preprocess: {{resize: stretch}}\n{then}"
        "providers: {order: [{name: cpu}]}\n"
        "golden:\n  box_tolerance: 0.5\n  score_tolerance: 0.02\n  samples:\n" + samples
    )
    print(f"{out}: models of {(out / 'model.onnx').stat().st_size} and {len(model)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="agent/internal/worker/infer/ort/testdata/families")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    torch.manual_seed(3)
    first, (crops, states, spots) = folder / "yolov8" / "model.onnx", seen()
    good, *bad = STATES
    bundle(
        folder / "yolov8-then-classifier",
        first,
        exported(train(classifier(), crops, states, F.cross_entropy, 400), "logits"),
        classified,
        state_of,
        "  decoder: {family: classifier, activation: softmax}\n  classes:\n"
        f"    - {{name: {good}, threshold: 0.6, good: true}}\n"
        + "".join(f"    - {{name: {name}, threshold: 0.5}}\n" for name in bad),
    )
    bundle(
        folder / "yolov8-then-measure",
        first,
        exported(train(measurer(), crops, spots, F.smooth_l1_loss, 1200), "parts"),
        measured,
        too_large,
        "  decoder:\n    family: measure\n    measures:\n"
        f"      - {{name: spot, unit: px, relative: width, max: {LIMIT}, tolerance: 0.5}}\n"
        "      - {name: spot-height, unit: px, relative: height, tolerance: 0.5}\n",
    )


if __name__ == "__main__":
    main()
