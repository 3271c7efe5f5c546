import json

import cv2
import pytest
import yaml

import golden
from boards import load_board
from evaluate import decode
from export import export, session
from network import CLASSES


@pytest.fixture
def bundle(learned, tmp_path):
    """A pair bundle around the detector that knows its boards."""
    model, _ = learned
    export(model, tmp_path / "model.onnx", 128)
    manifest = {
        "decoder": {"score_floor": 0.05, "nms_iou": 0.6},
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
        found = decode([o[0] for o in outputs], 0.05, 0.6)
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
