import json

import cv2
import numpy as np
import pytest
import yaml

import golden
from boards import load_board
from bundle import Decoder, read_bundle
from evaluate import decode
from export import export, session
from network import CLASSES


@pytest.fixture
def bundle(learned, tmp_path):
    """A pair bundle around the detector that knows its boards."""
    model, _ = learned
    export(model, tmp_path / "model.onnx", 128)
    manifest = {
        "model": "model.onnx",
        "preprocess": {"binarize": 128},
        "decoder": {"family": "dfl", "score_floor": 0.05, "nms_iou": 0.6},
        "classes": [{"name": name, "threshold": 0.4} for name in CLASSES],
    }
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    return tmp_path


def test_golden_samples_repeat_the_model_on_the_pictures_they_hold(bundle, learned, monkeypatch, capsys):
    _, folder = learned
    words = ["golden.py", "--bundle", str(bundle), "--data", str(folder), "--boards", "00041001,00041003"]
    monkeypatch.setattr("sys.argv", words)
    golden.main()
    listed = yaml.safe_load("samples:" + capsys.readouterr().out.split("samples:")[1])["samples"]
    assert [sorted(entry) for entry in listed] == [["expect", "image", "template"]] * 2
    for entry, name in zip(listed, ("00041001", "00041003"), strict=True):
        board = load_board(folder, name)
        test, template = (cv2.imread(str(bundle / entry[k]), 0) for k in ("image", "template"))
        assert (test == board.test).all() and (template == board.template).all()
        planes = board.prepared().planes(2)[None]
        outputs = session(bundle / "model.onnx", 1).run(["scores", "distances"], {"images": planes})
        found = decode([o[0] for o in outputs], Decoder(0.05, 0.6))
        wanted = json.loads((bundle / entry["expect"]).read_text())
        assert len(wanted) == (found.scores >= 0.4).sum() > 0
        assert [row["score"] for row in wanted] == sorted((row["score"] for row in wanted), reverse=True)
        for row, score, box in zip(wanted, found.scores, found.boxes, strict=False):
            assert row["score"] == pytest.approx(float(score), abs=1e-4)
            assert row["box"] == pytest.approx(box.tolist(), abs=0.01)
            assert 0 <= row["box"][0] < row["box"][2] <= 128


def test_a_sample_without_detections_is_an_empty_list(tmp_path, board_folder):
    (tmp_path / "golden").mkdir()
    entry = golden.write(tmp_path, "golden/x", load_board(board_folder, "00041001"), False, [])
    assert entry == {"image": "golden/x.png", "expect": "golden/x.json"}
    assert (tmp_path / "golden/x.json").read_text() == "[]\n"


@pytest.mark.parametrize(
    ("part", "key", "value", "why"),
    [
        ("preprocess", "binarize", "otsu", "binarize is otsu"),
        ("preprocess", "binarize", None, "binarize is None"),
        ("preprocess", "binarize", 100, "binarize is 100"),
        ("decoder", "family", "yolov8", "only dfl"),
    ],
)
def test_a_bundle_that_is_read_otherwise_is_refused(bundle, part, key, value, why):
    manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
    manifest[part][key] = value
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(SystemExit, match=why):
        read_bundle(bundle)


def test_the_decoders_settings_and_their_defaults_are_read(bundle):
    read = read_bundle(bundle)
    assert read.decoder == Decoder(0.05, 0.6, False, 100) and read.model == bundle / "model.onnx"
    manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
    manifest["decoder"] = {"family": "dfl", "class_agnostic": True, "max_detections": 7}
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    assert read_bundle(bundle).decoder == Decoder(0.01, 0.6, True, 7)


def test_golden_samples_keep_to_the_most_detections(bundle, learned, monkeypatch, capsys):
    manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
    manifest["decoder"]["max_detections"] = 1
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    words = ["golden.py", "--bundle", str(bundle), "--data", str(learned[1]), "--boards", "00041001"]
    monkeypatch.setattr("sys.argv", words)
    golden.main()
    assert "1 expected, 2 on the board" in capsys.readouterr().out


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(SystemExit, match="nowhere/x.png cannot be written"):
        golden.picture(tmp_path / "nowhere" / "x.png", np.zeros((8, 8), np.uint8))
