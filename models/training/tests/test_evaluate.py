import json
import re
import shutil

import cv2
import numpy as np
import pytest

import evaluate
from evaluate import METRICS, POINTS, crossed_f, gains, six_thresholds
from export import export
from metrics import Detections, Truth
from network import CLASSES


@pytest.fixture(scope="module")
def models(learned, tmp_path_factory):
    """A model that knows its boards, one with other weights, and the boards' folder."""
    import torch

    from network import Detector

    model, folder = learned
    out = tmp_path_factory.mktemp("models")
    export(model, out / "good.onnx", 128)
    torch.manual_seed(5)
    export(Detector(model.design), out / "bad.onnx", 128)
    return out, folder


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["evaluate.py", "--part", "all", "--threads", "1", *map(str, words)])
    evaluate.main()


def test_table_and_json_say_the_same_with_precision_by_class(models, monkeypatch, capsys):
    out, folder = models
    run(monkeypatch, "--data", folder, "--model", out / "good.onnx", "-o", "json")
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == 4 and result["map_iou33"] == pytest.approx(1) and result["map50"] > 0.9
    assert result["classes"]["open"]["ap_iou33"] == pytest.approx(1)
    assert 0 < result["classes"]["open"]["ap50_95"] <= result["classes"]["open"]["ap50"]
    run(monkeypatch, "--data", folder, "--model", out / "good.onnx")
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if line.startswith("open"))
    assert f"{result['classes']['open']['ap50_95']:.4f}" in row
    assert "AP50-95" in text


def test_boards_of_another_size_than_the_models_are_refused_by_name(models, tmp_path, monkeypatch):
    out, folder = models
    shutil.copytree(folder, tmp_path / "boards")
    for kind in ("test", "temp"):
        path = str(tmp_path / "boards" / "images" / f"00041002_{kind}.jpg")
        cv2.imwrite(path, cv2.imread(path)[:100])
    with pytest.raises(SystemExit, match="takes boards of 128 x 128 px, .* others: 00041002 .128 x 100 px.;"):
        run(monkeypatch, "--data", tmp_path / "boards", "--model", out / "good.onnx")


def seen(right, wrong):
    """A board with one defect, found with the score `right`, and a false alarm of the score `wrong`."""
    box, other = [10.0, 10, 30, 30], [50.0, 50, 70, 70]
    found = Detections(np.array([box, other]), np.array([right, wrong]), np.array([0, 0]))
    return found, Truth(np.array([box], np.float32), np.array([0]))


def test_thresholds_that_are_chosen_elsewhere_judge_each_half():
    names, pairs = ["12345001", "12345002"], [seen(0.9, 0.5), seen(0.4, 0.3)]
    # The first is judged at 0.4: a hit and a false alarm; the second at 0.9: a miss.
    assert crossed_f(names, pairs, []) == pytest.approx(0.5)
    assert evaluate.summary(pairs, None)["f_iou33"] > 0.7
    # What helps to choose is not judged itself, and lies in the order of ids, whatever the boards' is.
    assert crossed_f(names[::-1], pairs[::-1], []) == pytest.approx(0.5)
    assert crossed_f(names, [seen(0.9, 0.1)] * 2, [seen(0.9, 0.2)] * 9) == 1


def test_the_figure_of_chosen_thresholds_is_there_when_they_are_chosen(models, monkeypatch, capsys):
    out, folder = models
    words = ("--data", folder, "--model", out / "good.onnx", "-o", "json")
    run(monkeypatch, *words)
    assert 0 <= json.loads(capsys.readouterr().out)["f_iou33_crossed"] <= 1
    run(monkeypatch, *words, "--thresholds", ",".join(["0.5"] * 6))
    assert "f_iou33_crossed" not in json.loads(capsys.readouterr().out)


def test_a_model_against_itself_differs_by_nothing(models, monkeypatch, capsys):
    out, folder = models
    shutil.copy(out / "good.onnx", out / "copy.onnx")
    run(monkeypatch, "--data", folder, "--model", out / "copy.onnx", "--against", out / "good.onnx")
    text = capsys.readouterr().out
    assert "map_iou33=+0.00 f_iou33=+0.00 map50=+0.00 map50_95=+0.00" in text
    assert text.count("AP@.33") == 2


def test_a_worse_model_is_refused_and_a_better_one_is_not(models, monkeypatch, capsys):
    out, folder = models
    words = ("--data", folder, "-o", "json")
    with pytest.raises(SystemExit, match="more than 0.2 points below"):
        run(monkeypatch, *words, "--model", out / "bad.onnx", "--against", out / "good.onnx")
    result = json.loads(capsys.readouterr().out)
    assert result["points"]["map_iou33"] < -50
    # Both are judged with the other's thresholds: a difference is the model's alone.
    for name in CLASSES:
        assert (
            result["model"]["classes"][name]["threshold"] == result["against"]["classes"][name]["threshold"]
        )
    run(monkeypatch, *words, "--model", out / "good.onnx", "--against", out / "bad.onnx")


def test_without_truth_a_class_is_null_in_json(models, monkeypatch, capsys):
    out, folder = models
    run(monkeypatch, "--data", folder, "--model", out / "good.onnx", "-o", "json")
    text = capsys.readouterr().out
    assert json.loads(text)["classes"]["short"]["ap50"] is None and "NaN" not in text


@pytest.mark.parametrize(
    ("past", "part", "text"),
    [
        (None, "block", "does not say which boards"),
        ({"everything": True}, "group", "trained on this part .group"),
        ({"everything": False}, "train", "trained on this part .train"),
        ({"everything": False}, "block", None),
    ],
)
def test_a_model_says_whether_it_was_trained_on_the_part(learned, tmp_path, past, part, text):
    path = tmp_path / "model.onnx"
    export(learned[0], path, 128, past)
    told = evaluate.caution(path, part)
    assert told is None if text is None else re.search(text, told)


def test_the_note_stands_beside_the_figures(models, monkeypatch, capsys):
    out, folder = models
    run(monkeypatch, "--data", folder, "--model", out / "good.onnx", "-o", "json")
    captured = capsys.readouterr()
    assert "does not say which boards" in captured.err and json.loads(captured.out)


def test_a_bundle_gives_model_thresholds_and_decoder(models, monkeypatch, capsys, tmp_path):
    out, folder = models
    shutil.copy(out / "good.onnx", tmp_path / "best.onnx")
    rows = "".join(f"  - {{name: {name}, threshold: 0.4}}\n" for name in CLASSES)
    text = f"model: best.onnx\npreprocess: {{binarize: 128}}\nclasses:\n{rows}"
    (tmp_path / "bundle.yaml").write_text(text + "decoder: {family: dfl, max_detections: 1}\n")
    run(monkeypatch, "--data", folder, "--bundle", tmp_path, "-o", "json")
    result = json.loads(capsys.readouterr().out)
    assert [c["threshold"] for c in result["classes"].values()] == [0.4] * 6
    assert result["recall"] == 0.5  # of two defects on a board the decoder gives one
    run(monkeypatch, "--data", folder, "--bundle", tmp_path, "-o", "json", "--thresholds", "1,1,1,1,1,1")
    assert json.loads(capsys.readouterr().out)["recall"] == 0


def test_without_a_model_or_bundle_nothing_is_judged(models, monkeypatch):
    with pytest.raises(SystemExit, match="--model FILE, or --bundle DIR"):
        run(monkeypatch, "--data", models[1])


def test_points_are_hundredths():
    one, other = dict.fromkeys(METRICS, 0.993), dict.fromkeys(METRICS, 0.99501)
    assert all(v == pytest.approx(-0.201) and v < -POINTS for v in gains(one, other).values())


@pytest.mark.parametrize("text", ["0.5", "0.5,0.5,0.5,0.5,0.5,half", ""])
def test_thresholds_are_six_numbers(text):
    assert six_thresholds("0,1,0.5,0.25,0.75,1") == [0, 1, 0.5, 0.25, 0.75, 1]
    with pytest.raises(SystemExit, match="give 6 numbers"):
        six_thresholds(text)


def test_a_part_without_boards_says_so(models, monkeypatch):
    out, folder = models
    monkeypatch.setattr(
        "sys.argv",
        ["evaluate.py", "--part", "group", "--data", str(folder), "--model", str(out / "good.onnx")],
    )
    with pytest.raises(SystemExit, match="no boards in part group"):
        evaluate.main()
