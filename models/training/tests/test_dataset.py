import numpy as np
import pytest

from boards import GAP, board_ids, load_board, load_boards, read_labels, split
from dataset import Crops, collate, mendable, turn


def test_labels_are_inclusive_so_a_box_at_the_last_pixel_ends_at_the_border(board_folder):
    board = load_board(board_folder, "00041000")
    assert board.boxes[1].tolist() == [108, 98, 128, 128]
    assert board.labels.tolist() == [0, 4]


@pytest.mark.parametrize("line", ["1 2 3 4", "1 2 3 4 7", "9 2 3 4 1", "a 2 3 4 1"])
def test_bad_label_line_is_named(tmp_path, line):
    path = tmp_path / "x.txt"
    path.write_text("1 2 3 4 1\n" + line + "\n")
    with pytest.raises(ValueError, match="x.txt:2"):
        read_labels(path)


def test_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="deeppcb layout"):
        board_ids(tmp_path)


@pytest.mark.parametrize("way", range(8))
def test_turning_keeps_boxes_on_their_pixels(way):
    image = np.zeros((64, 64), np.uint8)
    image[10:21, 40:64] = 255
    turned, boxes = turn(image, np.array([[40, 10, 64, 21]], np.float32), way)
    x1, y1, x2, y2 = boxes[0].astype(int)
    assert turned[y1:y2, x1:x2].min() == 255
    assert (turned > 0).sum() == (x2 - x1) * (y2 - y1)


def test_turning_has_eight_different_results():
    image = np.random.default_rng(0).integers(0, 255, (8, 8)).astype(np.uint8)
    assert len({turn(image, np.zeros((0, 4)), way)[0].tobytes() for way in range(8)}) == 8


def test_split_keeps_a_gap_and_a_whole_group_apart():
    ids = [f"00041{k:03d}" for k in range(100)] + [f"50600{k:03d}" for k in range(10)]
    parts = split(ids)
    assert [len(parts[k]) for k in ("train", "block", "group")] == [100 - 13 - GAP, 13, 10]
    assert max(parts["train"]) < min(parts["block"])
    assert int(min(parts["block"])) - int(max(parts["train"])) == GAP + 1
    assert all(name.startswith("50600") for name in parts["group"])


def test_defect_is_mendable_only_where_the_template_fits(board_folder):
    board = load_board(board_folder, "00041000")
    assert mendable(board, board.boxes[0])
    board.template[40:70, 62:75] = 0
    assert not mendable(board, board.boxes[0])


def test_crops_repeat_by_index_and_boxes_stay_inside(board_folder):
    boards = load_boards(board_folder, board_ids(board_folder))
    crops, again = (Crops(boards, 50, 96, seed=3, extra=boards) for _ in range(2))
    for k in range(50):
        image, boxes, labels = crops[k]
        same, same_boxes, _ = again[k]
        assert image.shape == (96, 96) and len(boxes) == len(labels)
        assert (image == same).all() and (boxes == same_boxes).all()
        assert (boxes >= 0).all() and (boxes <= 96).all() and (boxes[:, 2:] > boxes[:, :2]).all()


def test_other_seed_gives_other_crops(board_folder):
    boards = load_boards(board_folder, board_ids(board_folder))
    one, two = (Crops(boards, 20, 64, seed=s) for s in (1, 2))
    assert any((one[k][0] != two[k][0]).any() for k in range(20))


def test_collate_pads_and_says_what_is_real():
    image = np.zeros((32, 32), np.uint8)
    box = np.array([[1, 2, 3, 4]], np.float32)
    empty = (image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    images, truth, labels, valid = collate([empty, (image, box, np.array([5]))])
    assert images.shape == (2, 1, 32, 32)
    assert valid.tolist() == [[False], [True]]
    assert truth[1, 0].tolist() == [1, 2, 3, 4] and labels[1, 0] == 5
