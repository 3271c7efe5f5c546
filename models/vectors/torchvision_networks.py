"""A bundle of a small Faster R-CNN, exported as torchvision documents it: one picture [3, h, w] goes in, and
as many boxes, labels and scores come out as were found.

    python torchvision_networks.py ../../agent/internal/worker/infer/ort/testdata/families

Beside the folder it writes open-rows.onnx, whose rows are as many as an image has bright pixels.
It is trained for some minutes on the drawn bars and discs of detectors_networks.py. Golden samples are
what ONNX Runtime finds on drawn pictures by the reference decoder of detectors.py.
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
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

import detectors
from detectors import Settings
from detectors_networks import CLASSES, FLOOR, FRAME, MARGIN, SIDE, THRESHOLD, draw, expected
from geometry import Geometry
from masks_networks import block, letterboxed

STEPS, BATCH, WIDTH = 900, 8, 24
OUTPUTS = ["boxes", "labels", "scores"]


class Backbone(nn.Sequential):
    """Features [N, WIDTH, h/8, w/8]."""

    def __init__(self):
        super().__init__(block(3, 8, 2), block(8, 16, 2), block(16, WIDTH, 2), block(WIDTH, WIDTH))
        self.out_channels = WIDTH


def network() -> FasterRCNN:
    side = 4  # of what the head sees of a box
    return FasterRCNN(
        Backbone(),
        min_size=SIDE,
        max_size=SIDE,
        rpn_anchor_generator=AnchorGenerator(((20, 40, 72),), ((1.0,),)),
        rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_test=40,
        box_roi_pool=MultiScaleRoIAlign(["0"], side, 2),
        box_head=TwoMLPHead(WIDTH * side * side, 48),
        box_predictor=FastRCNNPredictor(48, 1 + len(CLASSES)),
        box_score_thresh=FLOOR,
        box_detections_per_img=20,
    )


def train() -> FasterRCNN:
    torch.manual_seed(2)
    rng, net = np.random.default_rng(2), network()
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, STEPS)
    for step in range(STEPS):
        pictures, wanted = [], []
        for _ in range(BATCH):
            picture, things = draw(rng, SIDE, SIDE, rng.integers(1, 4))
            pictures.append(torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255))
            wanted.append(
                {
                    "boxes": torch.tensor([b for _, _, b in things], dtype=torch.float32),
                    "labels": torch.tensor([1 + kind for kind, _, _ in things]),
                }
            )
        loss = sum(net(pictures, wanted).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return net.eval()


def exported(net: nn.Module, example) -> bytes:
    raw = io.BytesIO()
    torch.onnx.export(
        net.eval(),
        (example,),
        raw,
        input_names=["image"],
        output_names=OUTPUTS,
        dynamic_axes={name: {0: "found"} for name in OUTPUTS},
        opset_version=17,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load_from_string(raw.getvalue()))
    return raw.getvalue()


def looker(model: bytes):
    """Finds what is in a picture, or says None where a score would be too near to a threshold."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    settings = Settings(len(CLASSES), FLOOR, no_object="first")

    def look(picture):
        g = Geometry((picture.shape[1], picture.shape[0]), (SIDE, SIDE))
        boxes, labels, scores = session.run(OUTPUTS, {"image": letterboxed(picture, g)[0]})
        if not len(scores):
            return []
        outputs = [labels[None], boxes[None], scores[None]]
        try:
            found = detectors.found(detectors.labelled, outputs, settings, g)
        except SystemExit:
            return None
        if any(abs(d["score"] - THRESHOLD) < MARGIN for d in found):
            return None
        return [d for d in found if d["score"] >= THRESHOLD]

    return look


def right(found, things) -> bool:
    """Whether each thing is found where it is, and nothing else."""
    if len(found) != len(things):
        return False
    left = list(things)
    for d in found:
        box = np.array(d["box"])
        near = [t for t in left if t[0] == d["class"] and np.abs(box - t[2]).max() < 5]
        if not near:
            return False
        left.remove(near[0])
    return True


def picture_of(count, first_seed, look):
    """The first picture of so many things on which just these are found, and what is found there."""
    for seed in range(first_seed, first_seed + 900):
        picture, things = draw(np.random.default_rng(seed), *FRAME, count)
        picture = picture // 16 * 16  # so that files stay small
        found = look(picture)
        if found is not None and len(things) == count and right(found, things):
            return picture, found
    raise SystemExit(f"no picture of {count} on which all is found: train longer")


class OpenRows(nn.Module):
    """A box for each pixel of an image [1, 1, 64, 64] that is over one half: any number of them, or none."""

    def forward(self, image):
        at = (image[0, 0] > 0.5).nonzero()
        corner = at.flip(1).to(torch.float32)
        scores = image[0, 0][at[:, 0], at[:, 1]]
        return torch.cat([corner, corner + 1], 1), torch.ones_like(at[:, 0]), scores


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="agent/internal/worker/infer/ort/testdata/families")
    folder = parser.parse_args().folder / "labelled-torchvision"
    torch.set_num_threads(1)
    rows = exported(OpenRows(), torch.rand(1, 1, 64, 64))
    (folder.parent.parent / "open-rows.onnx").write_bytes(rows)
    model = exported(train(), [torch.rand(3, SIDE, SIDE)])
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    look, samples = looker(model), ""
    for n, count in enumerate((3, 2, 0), 1):
        picture, found = picture_of(count, 1000 * n, look)
        cv2.imwrite(str(folder / f"golden/{n}.png"), picture[..., ::-1])
        (folder / f"golden/{n}.json").write_text(json.dumps([expected(d) for d in found]) + "\n")
        samples += f"    - {{image: golden/{n}.png, expect: golden/{n}.json}}\n"
    (folder / "bundle.yaml").write_text(
        f"name: labelled-torchvision\nversion: 1.0.0\ninput: {{width: {SIDE}, height: {SIDE}}}\n"
        f"decoder: {{family: labelled, no_object: first, score_floor: {FLOOR}}}\nclasses:\n"
        + "".join(f"  - {{name: {name}, threshold: {THRESHOLD}}}\n" for name in CLASSES)
        + "providers: {order: [{name: cpu}]}\n"
        "golden:\n  box_tolerance: 0.5\n  score_tolerance: 0.02\n  samples:\n" + samples
    )
    print(f"{folder}: model of {len(model)} bytes")


if __name__ == "__main__":
    main()
