import numpy as np
import pytest

from bundle import Decoder
from evaluate import as_json, decode, summary
from metrics import (
    Curve,
    Detections,
    Truth,
    curve,
    f_score,
    iou_matrix,
    known_mean,
    paper_curve,
    suppress,
)
from network import CLASSES

NOTHING = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
CLEAN = Truth(np.zeros((0, 4)), np.zeros(0, int))
BINS = 12
BOX = [0.0, 0, 10, 10]
FAR = [50.0, 50, 60, 60]


def found(*rows):
    boxes, scores, labels = zip(*rows, strict=True)
    return Detections(np.array(boxes), np.array(scores), np.array(labels))


def truth(*rows):
    boxes, labels = zip(*rows, strict=True)
    return Truth(np.array(boxes), np.array(labels))


def test_iou_matrix_by_hand_and_empty():
    assert iou_matrix(np.array([BOX]), np.array([[5.0, 0, 15, 10], FAR]))[0].tolist() == [1 / 3, 0]
    assert iou_matrix(np.zeros((0, 4)), np.array([BOX])).shape == (0, 1)


def test_overlap_of_exactly_the_least_is_a_miss():
    pair = (found(([5.0, 0, 15, 10], 0.9, 0)), truth((BOX, 0)))
    assert curve([pair], 0, 1 / 3).hits.tolist() == [False]
    assert curve([pair], 0, 0.33).hits.tolist() == [True]


def test_an_overlap_of_a_third_is_over_the_papers_033():
    pair = (found(([5.0, 0, 15, 10], 0.9, 0)), truth((BOX, 0)))
    result = summary([pair], [0.5] * 6)
    assert result["classes"]["open"]["hits"] == 1 and result["f_iou33"] == 1


def test_second_detection_of_one_box_is_a_false_alarm():
    c = curve([(found((BOX, 0.9, 0), (BOX, 0.8, 0)), truth((BOX, 0)))], 0, 0.5)
    assert c.hits.tolist() == [True, False]
    assert c.average_precision() == pytest.approx(1.0)


def test_right_box_of_the_wrong_class_is_a_false_alarm():
    pair = (found((BOX, 0.9, 1)), truth((BOX, 0)))
    assert curve([pair], 0, 0.5).average_precision() == 0
    assert curve([pair], 1, 0.5).hits.tolist() == [False]


def test_average_precision_by_hand():
    # hit, false alarm, hit of two: precision 1 up to recall 0.5 (51 points), 2/3 beyond (50 points)
    c = Curve(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2)
    assert c.average_precision() == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert c.best() == (pytest.approx(0.8), pytest.approx(0.7))
    assert c.at(0.75) == (1, 1, 1)


def test_the_papers_average_precision_by_hand():
    # Precision 1 at the first hit and 2/3 at the second, of three labels; nothing is interpolated.
    c = Curve(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 3)
    assert c.paper_precision() == pytest.approx((1 + 2 / 3) / 3)
    assert np.isnan(Curve(np.array([0.9]), np.array([False]), 0).paper_precision())
    assert Curve(np.zeros(0), np.zeros(0, bool), 2).paper_precision() == 0


def test_a_label_takes_the_best_score_that_overlaps_it_and_not_the_best_overlap():
    """The first label takes what fits the second better; COCO's matching gives it to the second."""
    between, second = [5.0, 0, 15, 10], [6.0, 0, 16, 10]
    pair = (found((between, 0.9, 0)), truth((BOX, 0), (second, 0)))
    both = (found((between, 0.9, 0), (BOX, 0.8, 0)), truth((second, 0), (BOX, 0)))
    turned = (both[0], truth((BOX, 0), (second, 0)))
    assert paper_curve([pair], 0).hits.tolist() == [True]
    assert paper_curve([both], 0).hits.tolist() == [True, True]
    assert paper_curve([turned], 0).hits.tolist() == [True, False]
    assert curve([turned], 0, 0.33).hits.tolist() == [True, True]


def test_what_is_not_a_number_is_null_in_json():
    text = as_json(summary([(found((BOX, 0.9, 0)), truth((BOX, 0)))], None))
    assert "NaN" not in text and '"ap50": null' in text and '"map50": 1.0' in text


def test_threshold_is_the_middle_of_what_is_nearly_as_good():
    # Of 200 boxes the first 100 are found; then one false alarm, which costs F 0.0022.
    scores = np.append(np.linspace(0.9, 0.6, 100), 0.2)
    best, threshold = Curve(scores, np.arange(101) < 100, 200).best()
    assert best == pytest.approx(2 / 3)
    assert 0.38 < threshold < 0.42


def test_empty_detections_score_zero_and_do_not_crash():
    pairs = [(NOTHING, truth((BOX, 0))), (NOTHING, CLEAN)]
    result = summary(pairs, None)
    assert result["map50"] == 0 and result["recall"] == 0 and result["clean_boards_alarmed"] == 0


def test_no_truth_at_all_is_not_a_number():
    assert np.isnan(summary([(NOTHING, CLEAN)], None)["map50"])
    assert np.isnan(summary([], None)["map50_95"])
    assert np.isnan(known_mean([]))


def test_absent_class_does_not_count_in_the_mean():
    result = summary([(found((BOX, 0.9, 0)), truth((BOX, 0)))], None)
    assert result["map50"] == result["map50_95"] == pytest.approx(1.0)
    assert np.isnan(result["classes"]["short"]["ap50"])


def test_alarm_on_a_clean_board_counts():
    pairs = [(found((BOX, 0.9, 0)), CLEAN), (found((BOX, 0.2, 0)), CLEAN)]
    result = summary(pairs, [0.5] * 6)
    assert (result["clean_boards"], result["clean_boards_alarmed"]) == (2, 1)


def test_suppression_is_per_class_and_keeps_the_best():
    kept = suppress(found((BOX, 0.5, 0), ([0.0, 0, 10, 11], 0.9, 0), (BOX, 0.4, 1), (FAR, 0.3, 0)), 0.6)
    assert kept.scores.tolist() == [0.9, 0.4, 0.3]
    assert suppress(NOTHING, 0.6).scores.size == 0


def test_suppression_across_classes_and_the_most_of_an_image():
    boxes = found((BOX, 0.5, 0), (BOX, 0.4, 1), (FAR, 0.3, 0), (FAR, 0.2, 1))
    assert suppress(boxes, 0.6).scores.tolist() == [0.5, 0.4, 0.3, 0.2]
    assert suppress(boxes, 0.6, agnostic=True).scores.tolist() == [0.5, 0.3]
    assert suppress(boxes, 0.6, most=3).scores.tolist() == [0.5, 0.4, 0.3]


def logits(*cells: tuple[int, int, int, float, tuple[int, ...]], bins: int = BINS) -> list[np.ndarray]:
    """A 4 by 4 grid of nothing but these: class, x, y, score, and the distances of the sides in cells."""
    scores = np.full((len(CLASSES), 4, 4), -20, np.float32)
    distances = np.zeros((4 * bins, 4, 4), np.float32)
    for label, x, y, score, sides in cells:
        scores[label, y, x] = np.log(score / (1 - score))
        for side, distance in enumerate(sides):
            distances[side * bins + distance, y, x] = 50
    return [scores, distances]


def test_decoded_box_stands_where_its_cell_is():
    # Cell (x 2, y 1): centre 20,12; sides 8 left, 16 up, 24 right, 32 down.
    got = decode(logits((5, 2, 1, 0.75, (1, 2, 3, 4))))
    assert got.boxes == pytest.approx(np.array([[12, -4, 44, 44]]))
    assert got.labels.tolist() == [5] and got.scores == pytest.approx([0.75])


def test_decode_reads_the_number_of_bins_from_the_output():
    got = decode(logits((0, 2, 1, 0.75, (1, 2, 3, 15)), bins=16))
    assert got.boxes == pytest.approx(np.array([[12, -4, 44, 132]]))


def test_decode_minds_the_decoders_settings():
    cells = logits((5, 2, 1, 0.75, (1, 1, 1, 1)), (0, 2, 1, 0.5, (1, 1, 1, 1)), (0, 0, 3, 0.04, (1, 1, 1, 1)))
    assert len(decode(cells).scores) == 3
    assert len(decode(cells, Decoder(floor=0.05)).scores) == 2
    assert len(decode(cells, Decoder(agnostic=True)).scores) == 2
    assert len(decode(cells, Decoder(most=1)).scores) == 1


def test_decode_of_nothing_is_empty():
    assert decode(logits()).scores.size == 0


def test_decode_keeps_each_class_of_a_cell():
    got = decode(logits((5, 2, 1, 0.75, (1, 1, 1, 1)), (0, 2, 1, 0.5, (1, 1, 1, 1))))
    assert got.labels.tolist() == [5, 0]


def test_f_score_by_hand():
    assert f_score(8, 2, 2) == pytest.approx(0.8)
    assert f_score(0, 0, 0) == 1.0
