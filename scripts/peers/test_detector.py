"""The Python pipeline finds what the bundles' golden samples expect, as every provider must."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models/training"))

import detector
from boards import Board

MODELS = Path(__file__).resolve().parents[2] / "models"
SAMPLES = [
    (bundle, sample)
    for bundle in (MODELS / "pcb-defects", MODELS / "pcb-defects-pair")
    for sample in yaml.safe_load((bundle / "bundle.yaml").read_text())["golden"]["samples"]
]


@pytest.mark.parametrize(("bundle", "sample"), SAMPLES, ids=lambda v: getattr(v, "name", None))
def test_it_finds_what_the_golden_samples_expect(bundle, sample):
    model = detector.Detector(bundle, 1)
    golden = yaml.safe_load((bundle / "bundle.yaml").read_text())["golden"]
    frame = cv2.imread(str(bundle / sample["image"]), cv2.IMREAD_COLOR)
    template = None
    if "template" in sample:
        gray = [cv2.imread(str(bundle / sample[k]), cv2.IMREAD_GRAYSCALE) for k in ("image", "template")]
        template = Board("", *gray, np.empty((0, 4)), np.empty(0)).prepared().template

    box, score = golden.get("box_tolerance", 2), golden.get("score_tolerance", 0.05)
    blob, place = model.blob(frame, template)
    found = model.decode(model.run(blob), place, frame)

    expected = json.loads((bundle / sample["expect"]).read_text())
    assert len(found) == len(expected)
    for want in expected:
        near = [f for f in found if np.abs(np.subtract(f[2:], want["box"])).max() <= box]
        assert [model.classes[f[0]] for f in near] == [want["class"]]
        assert near[0][1] == pytest.approx(want["score"], abs=score)


def test_boxes_of_yolov8_reach_the_threshold_of_their_class():
    output = np.zeros((1, 6, 3), np.float32)
    output[0, :4] = [[20], [30], [10], [4]]
    output[0, 4:] = [[0.5, 0.4, 0], [0.6, 0, 0.8]]

    boxes, scores, labels = detector.yolov8(output, np.array([0.5, 0.7], np.float32))

    assert labels.tolist() == [0, 1]
    assert scores.tolist() == pytest.approx([0.5, 0.8])
    assert boxes.tolist() == [[15, 28, 25, 32]] * 2


def test_sides_of_dfl_are_the_mean_of_their_distribution():
    logits = np.full((1, 2, 4, 4), -9, np.float32)
    logits[0, 1, 2, 1] = 0
    distances = np.full((1, 4 * 3, 4, 4), -50, np.float32)
    distances[0, [0, 1, 5, 6, 8, 9, 10, 11], 2, 1] = 1  # left .5, top 2, right 1, bottom 1

    boxes, scores, labels = detector.dfl(logits, distances, np.array([0.5, 0.5], np.float32), 32)

    assert labels.tolist() == [1]
    assert scores.tolist() == [0.5]
    assert boxes[0] == pytest.approx([8, 4, 20, 28])


def test_a_frame_is_made_black_and_white_and_put_in_the_middle():
    model = detector.Detector.__new__(detector.Detector)
    model.width, model.height, model.channels, model.pad, model.binarize = 8, 8, 1, 255, "128"
    frame = np.array([[127, 128]] * 1, np.uint8).repeat(8, 1).repeat(4, 0)

    picture, place = model.letterbox(frame)

    assert place == (0.5, 0, 3)
    assert picture[3:5].tolist() == [[0] * 4 + [255] * 4] * 2
    assert (picture[[0, 1, 2, 5, 6, 7]] == 255).all()


def test_what_it_does_not_do_it_names():
    manifest = {
        "input": {"layout": "nhwc"}, "preprocess": {"resize": "stretch", "mean": [0.5]},
        "decoder": {"family": "detr", "class_agnostic": True},
    }
    with pytest.raises(SystemExit) as refusal:
        detector.refuse(Path("odd"), manifest)
    for word in ("odd", "nhwc", "stretch", "preprocess.mean", "detr", "class_agnostic"):
        assert word in str(refusal.value)
