"""A bundle of two small networks: one finds things, the other sees each of them, cut out of the frame.

The first is the network of family yolov8 that detectors_networks.py has trained. The second is a classifier
of some thousand weights, trained here for some seconds on what is drawn: things that are whole, that have a
scratch, or a dark spot. A scratch is a line of two pixels of the frame, less than one of the first network's
input. The golden samples are what ONNX Runtime, the reference decoder and the cut described in docs/bundle.md
find: a box with its margin, out to whole pixels, scaled by OpenCV.

    python pipelines_networks.py ../../agent/internal/worker/infer/ort/testdata/families
"""

import argparse
import io
import json
import shutil
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
STEPS, BATCH, SURE = 400, 64, 0.9


def marked(rng, count):
    """A frame [h, w, 3] with so many things, and of each its box x1 y1 x2 y2 and its state."""
    small, things = draw(rng, *FRAME, count)
    picture = np.repeat(np.repeat(small // 16 * 16, GROWN, 0), GROWN, 1)
    marks = []
    for _, _, box in things:
        box = np.array(box) * GROWN
        state = int(rng.integers(len(STATES)))
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        if state == 1:
            turn = rng.uniform(0, np.pi)
            reach = 0.32 * size.min() * np.array([np.cos(turn), np.sin(turn)])
            middle = middle + rng.uniform(-0.1, 0.1, 2) * size
            ends = [tuple(int(v) for v in np.round(middle + s * reach)) for s in (-1, 1)]
            cv2.line(picture, *ends, (40, 40, 40), 2)
        if state == 2:
            at = tuple(int(v) for v in np.round(middle + rng.uniform(-0.15, 0.15, 2) * size))
            cv2.circle(picture, at, int(max(0.13 * size.min(), 4)), (40, 40, 40), -1)
        marks.append((box, state))
    return picture, marks


def cut(picture, box):
    """What the second network sees of a box: its margin, out to whole pixels, [3, 64, 64] from 0 to 1."""
    box, (high, wide) = np.asarray(box, np.float64), picture.shape[:2]
    more = (box[2:] - box[:2]) * WIDER
    x1, y1 = np.maximum(np.floor(box[:2] - more), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(box[2:] + more), [wide, high]).astype(int)
    crop = cv2.resize(picture[y1:y2, x1:x2], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return crop.transpose(2, 0, 1).astype(np.float32) / 255


class States(nn.Sequential):
    """Logits [N, 3] of crops [N, 3, 64, 64]."""

    def __init__(self):
        widths, layers = [3, 8, 12, 16, 20], []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], len(STATES)))


def train():
    torch.manual_seed(3)
    rng, net = np.random.default_rng(3), States()
    crops, states = [], []
    while len(crops) < 6000:
        picture, marks = marked(rng, 4)
        for box, state in marks:
            near = box + rng.uniform(-0.06, 0.06, 4) * np.tile(box[2:] - box[:2], 2)
            crops.append(cut(picture, np.clip(near, 0, np.tile(picture.shape[1::-1], 2))))
            states.append(state)
    crops, states = torch.from_numpy(np.stack(crops)), torch.tensor(states)
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, STEPS)
    for step in range(STEPS):
        chosen = torch.from_numpy(rng.integers(0, len(crops) - 1000, BATCH))
        loss = F.cross_entropy(net(crops[chosen]), states[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    net.eval()
    with torch.no_grad():
        right = (net(crops[-1000:]).argmax(1) == states[-1000:]).float().mean()
    print(f"{right:.3f} of 1000 crops that it has not seen are right")
    return net


def exported(net):
    raw = io.BytesIO()
    torch.onnx.export(
        net, torch.zeros(2, 3, SIDE, SIDE), raw, input_names=["crops"], output_names=["logits"],
        opset_version=17, dynamic_axes={"crops": {0: "n"}, "logits": {0: "n"}}, dynamo=False,
    )  # fmt: skip
    onnx.checker.check_model(onnx.load_from_string(raw.getvalue()), full_check=True)
    return raw.getvalue()


def judged(session, picture, found):
    """What is left of the first network's findings, best first; None where a score is near to a threshold."""
    left = []
    for d in found:
        logits = session.run(None, {"crops": cut(picture, d["box"])[None]})[0][0].astype(np.float64)
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        state = int(scores.argmax())
        if scores[state] < SURE:
            return None
        if state:
            row = {"class": STATES[state], "score": round(float(scores[state]), 5)}
            left.append(row | {"box": [round(v, 3) for v in d["box"]]})
    return sorted(left, key=lambda row: -row["score"])


def sample(first, second, count, wanted, first_seed):
    """The first frame of so many things, so many of them bad, on which all is found, and what is left."""
    for seed in range(first_seed, first_seed + 500):
        picture, marks = marked(np.random.default_rng(seed), count)
        found = first(picture)
        if found is None or len(found) != count or len(marks) != count:
            continue
        left = judged(second, picture, found)
        bad = sorted(STATES[state] for _, state in marks if state)
        if left is None or len(bad) != wanted or sorted(row["class"] for row in left) != bad:
            continue
        if len(set(bad)) == min(wanted, len(STATES) - 1):
            return picture, left
    raise SystemExit(f"no picture of {count} on which all is right: train longer")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="agent/internal/worker/infer/ort/testdata/families")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    out, model = folder / "yolov8-then-classifier", exported(train())
    (out / "golden").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "yolov8" / "model.onnx", out / "model.onnx")
    (out / "states.onnx").write_bytes(model)
    first = looker((out / "model.onnx").read_bytes(), "yolov8")
    second = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    samples = ""
    for n, (count, bad) in enumerate(((5, 3), (3, 1), (2, 0)), 1):
        picture, left = sample(first, second, count, bad, 1000 * n)
        cv2.imwrite(str(out / f"golden/{n}.png"), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
        (out / f"golden/{n}.json").write_text(json.dumps(left) + "\n")
        samples += f"    - {{image: golden/{n}.png, expect: golden/{n}.json}}\n"
        print(f"sample {n}: {count} things, bad: {[row['class'] for row in left]}")
    good, *bad = STATES
    (out / "bundle.yaml").write_text(
        "name: yolov8-then-classifier\nversion: 1.0.0\ninput: {width: 128, height: 128}\n"
        f"decoder: {{family: yolov8, score_floor: {FLOOR}, nms_iou: 0.5}}\nclasses:\n"
        + "".join(f"  - {{name: {name}, threshold: {THRESHOLD}}}\n" for name in THINGS)
        + f"then:\n  model: states.onnx\n  margin: {WIDER}\n  input: {{width: {SIDE}, height: {SIDE}}}\n"
        "  preprocess: {resize: stretch}\n  decoder: {family: classifier, activation: softmax}\n  classes:\n"
        f"    - {{name: {good}, threshold: 0.6, good: true}}\n"
        + "".join(f"    - {{name: {name}, threshold: 0.5}}\n" for name in bad)
        + "providers: {order: [{name: cpu}]}\n"
        "golden:\n  box_tolerance: 0.5\n  score_tolerance: 0.02\n  samples:\n" + samples
    )
    print(f"{out}: models of {(out / 'model.onnx').stat().st_size} and {len(model)} bytes")


if __name__ == "__main__":
    main()
