import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import dataset
from boards import (
    GAP,
    Board,
    board_ids,
    counts,
    link,
    load_board,
    load_boards,
    part_ids,
    read_labels,
    split,
    spread,
)
from dataset import JITTER, MARGIN, Crops, collate, mendable, turn


def test_labels_are_inclusive_so_a_box_at_the_last_pixel_ends_at_the_border(board_folder):
    board = load_board(board_folder, "00041000")
    assert board.boxes[1].tolist() == [108, 98, 128, 128]
    assert board.labels.tolist() == [0, 4]


@pytest.mark.parametrize("line", ["1 2 30 40 5", "1,2,30,40,5", " 1, 2, 30, 40 ,5 ", "1\t2 30,40\t5"])
def test_labels_have_blanks_or_commas_between(tmp_path, line):
    path = tmp_path / "x.txt"
    path.write_text(line + "\n")
    boxes, labels = read_labels(path)
    assert boxes.tolist() == [[1, 2, 31, 41]] and labels.tolist() == [4]


@pytest.mark.parametrize("line", ["1 2 3 4", "1 2 3 4 7", "9 2 3 4 1", "a 2 3 4 1", "1,2,3,4", "1;2;3;4;1"])
def test_bad_label_line_is_named(tmp_path, line):
    path = tmp_path / "x.txt"
    path.write_text("1 2 3 4 1\n" + line + "\n")
    with pytest.raises(ValueError, match="x.txt:2"):
        read_labels(path)


def test_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="deeppcb layout"):
        board_ids(tmp_path)


def test_unreadable_image_is_named(board_folder):
    (board_folder / "images" / "00041000_test.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="00041000_test.jpg"):
        load_board(board_folder, "00041000")


def test_a_template_of_another_size_is_named(board_folder):
    cv2.imwrite(str(board_folder / "images" / "00041000_temp.jpg"), np.zeros((128, 96), np.uint8))
    with pytest.raises(ValueError, match="00041000: its template is 96 x 128 px, the board 128 x 128 px"):
        load_board(board_folder, "00041000").prepared()


def test_a_prepared_board_is_binary_with_its_template_moved_onto_it(board_folder):
    path = str(board_folder / "images" / "00041000_temp.jpg")
    cv2.imwrite(path, np.roll(cv2.imread(path, cv2.IMREAD_GRAYSCALE), 4, 1))
    loaded = load_board(board_folder, "00041000")
    board = loaded.prepared()
    assert set(np.unique(board.test)) == set(np.unique(board.template)) == {0, 255}
    differ = board.test != board.template
    for x1, y1, x2, y2 in board.boxes.astype(int):
        assert differ[y1:y2, x1:x2].any()
        differ[y1:y2, x1:x2] = False
    assert not differ.any()
    assert ((loaded.template > 127) != (board.template > 127)).any()


def test_planes_are_the_board_and_beside_it_the_template(board_folder):
    board = load_board(board_folder, "00041000").prepared()
    assert board.planes(1).shape == (1, 128, 128)
    pair = board.planes(2)
    assert pair.dtype == np.uint8
    assert (pair[0] == board.test).all() and (pair[1] == board.template).all()


def test_a_pair_without_its_template_says_which_file_is_missing(board_folder):
    (board_folder / "images" / "00041000_temp.jpg").unlink()
    board = load_board(board_folder, "00041000").prepared()
    assert board.planes(1).shape == (1, 128, 128)
    with pytest.raises(ValueError, match="images/00041000_temp.jpg"):
        board.planes(2)


@pytest.mark.parametrize("way", range(8))
def test_turning_keeps_boxes_on_their_pixels(way):
    planes = np.zeros((2, 48, 64), np.uint8)
    planes[0, 10:21, 40:64] = 255
    turned, boxes = turn(planes, np.array([[40, 10, 64, 21]], np.float32), way)
    x1, y1, x2, y2 = boxes[0].astype(int)
    assert turned[0, y1:y2, x1:x2].min() == 255
    assert (turned > 0).sum() == (x2 - x1) * (y2 - y1)
    assert turned.shape == ((2, 64, 48) if way & 4 else (2, 48, 64))


def test_a_mirrored_label_is_width_less_one_less_its_inclusive_pixel():
    width, first, last = 640, 598, 639
    _, boxes = turn(np.zeros((1, 8, width)), np.array([[first, 2, last + 1, 5]], np.float32), 1)
    left, _, right, _ = boxes[0]
    assert (left, right - 1) == (width - 1 - last, width - 1 - first) == (0, 41)


@pytest.mark.parametrize("way", range(8))
def test_every_turn_can_be_undone_to_the_pixel(way):
    rng = np.random.default_rng(way)
    planes = rng.integers(0, 256, (2, 30, 50)).astype(np.uint8)
    boxes = np.array([[0, 0, 50, 30], [3, 7, 11, 8], [49, 29, 50, 30]], np.float32)
    # With the axes swapped, what was mirrored in x is mirrored in y.
    back = way if way < 4 else 4 | (way & 1) << 1 | (way & 2) >> 1
    again, found = turn(*turn(planes, boxes, way), back)
    assert (again == planes).all() and (found == boxes).all()


def test_turning_has_eight_different_results():
    image = np.random.default_rng(0).integers(0, 255, (1, 8, 8)).astype(np.uint8)
    assert len({turn(image, np.zeros((0, 4)), way)[0].tobytes() for way in range(8)}) == 8


def test_split_keeps_a_gap_and_a_whole_group_apart():
    ids = [f"00041{k:03d}" for k in range(100)] + [f"50600{k:03d}" for k in range(10)]
    parts = split(ids)
    assert [len(parts[k]) for k in ("train", "block", "group")] == [100 - 13 - GAP, 13, 10]
    assert max(parts["train"]) < min(parts["block"])
    assert int(min(parts["block"])) - int(max(parts["train"])) == GAP + 1
    assert all(name.startswith("50600") for name in parts["group"])


@pytest.mark.parametrize(
    "ids",
    [
        [f"{k:06d}" for k in range(1000)],
        [f"{k * 7919 % 100003:05d}-board" for k in range(600)],
        [f"b{k:03d}" for k in range(90)],
    ],
    ids=["six digits", "unique prefixes", "few"],
)
def test_ids_without_groups_are_split_evenly_with_gaps(ids):
    parts, order = split(ids), sorted(ids)
    assert len(parts["train"]) > 0.75 * len(ids) and not parts["group"]
    assert 0.1 * len(ids) < len(parts["block"]) < 0.14 * len(ids)
    assert not set(parts["train"]) & set(parts["block"])
    where = {name: part for part in ("train", "block") for name in parts[part]}
    marks = [where.get(name) for name in order]
    for k in range(len(marks) - GAP):
        assert {"train", "block"} - set(marks[k : k + GAP + 1]), "neighbours on both sides of the split"
    assert len([k for k in range(1, len(marks)) if marks[k] == "block" != marks[k - 1]]) == max(
        len(ids) // 100, 1
    )


def test_small_groups_beside_large_ones_do_not_change_the_split_of_these():
    large = [f"00041{k:03d}" for k in range(100)]
    small = [f"9{k:04d}000" for k in range(50)]
    both, alone = split(large + small), split(large)
    assert [n for n in both["train"] if n in large] == alone["train"]
    assert [n for n in both["block"] if n in large] == alone["block"]
    assert len(both["train"]) > len(alone["train"]) + 35


def test_counts_and_an_empty_part_are_told(board_folder):
    ids = [f"00041{k:03d}" for k in range(100)] + [f"50600{k:03d}" for k in range(10)]
    assert counts(ids) == "110 boards: train 83, block 13, group 10, left out 4"
    assert part_ids(board_folder, "all") == ["00041000", "00041001"]
    with pytest.raises(SystemExit, match="no boards in part train .2 boards: train 0"):
        part_ids(board_folder, "train")


@pytest.mark.parametrize(("count", "limit"), [(150, 100), (100, 100), (803, 40), (7, 3), (5, 9)])
def test_a_limit_spreads_evenly(count, limit):
    chosen = spread(list(range(count)), limit)
    steps = np.diff(chosen)
    assert len(chosen) == min(count, limit) and steps.max() - steps.min() <= 1
    assert chosen[0] == 0 and chosen[-1] >= count - count / limit - 1
    assert spread(list(range(count)), None) == list(range(count))


def test_defect_is_mendable_only_where_the_template_fits(board_folder):
    board = load_board(board_folder, "00041000").prepared()
    assert mendable(board, board.boxes[0])
    board.template[40:70, 62:75] = 0
    assert not mendable(board, board.boxes[0])


@pytest.mark.parametrize("inputs", [1, 2])
def test_crops_repeat_by_index_and_boxes_stay_inside(board_folder, inputs):
    boards = load_boards(board_folder, board_ids(board_folder))
    crops, again = (Crops(boards, 50, 96, seed=3, inputs=inputs, extra=boards) for _ in range(2))
    repeated = {k: again[k] for k in reversed(range(50))}  # what came before does not matter
    for k in range(50):
        planes, boxes, labels = crops[k]
        same, same_boxes, same_labels = repeated[k]
        assert planes.shape == (inputs, 96, 96) and len(boxes) == len(labels)
        assert set(np.unique(planes)) <= {0, 255}
        assert (planes == same).all() and (boxes == same_boxes).all() and (labels == same_labels).all()
        assert (boxes >= 0).all() and (boxes <= 96).all() and (boxes[:, 2:] > boxes[:, :2]).all()


def test_other_seed_and_other_index_give_other_crops(board_folder):
    boards = load_boards(board_folder, board_ids(board_folder))
    one, two = (Crops(boards, 20, 64, seed=s) for s in (1, 2))
    assert any((one[k][0] != two[k][0]).any() for k in range(20))
    assert len({one[k][0].tobytes() for k in range(20)}) > 10


def test_workers_give_the_crops_of_their_absence(board_folder):
    boards = load_boards(board_folder, board_ids(board_folder))
    crops = Crops(boards, 8, 64, seed=3, inputs=2)
    alone, helped = (list(DataLoader(crops, 4, collate_fn=collate, num_workers=n)) for n in (0, 1))
    for one, two in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def outside(boxes, size, margin=MARGIN):
    """Pixels [H,W] that no box touches."""
    free = np.ones((size, size), bool)
    for x1, y1, x2, y2 in boxes.astype(int):
        free[max(y1 - margin, 0) : y2 + margin, max(x1 - margin, 0) : x2 + margin] = False
    return free


def test_pair_planes_agree_outside_defects_but_for_the_jitter(board_folder, monkeypatch):
    monkeypatch.setattr(dataset, "_print_variation", lambda rng, image, share: image)
    boards = load_boards(board_folder, board_ids(board_folder))
    for board in boards:  # pads, so that a shift shows in both directions
        for plane in (board.test, board.template):
            plane[70:90, 64:104] = plane[6:30, 70:90] = 0
    size, most = 64, max(JITTER)
    crops = Crops(boards, 80, size, seed=5, inputs=2, mosaic_share=0)
    inner = np.s_[most:-most, most:-most]
    moved, defects = 0, 0
    for k in range(len(crops)):
        (test, template), boxes, _ = crops[k]
        free = outside(boxes, size)[inner]
        fits = []
        for dy in range(-most, most + 1):
            for dx in range(-most, most + 1):
                beside = np.roll(template, (dy, dx), (0, 1))
                if (test[inner] == beside[inner])[free].all():
                    fits.append((dx, dy))
        assert fits, f"crop {k}: no shift up to {most} px makes the planes agree"
        moved += (0, 0) not in fits
        defects += len(boxes) > 0 and bool((test != template)[~outside(boxes, size, 0)].any())
    assert 10 < moved < 70 and defects > 15


def test_varied_pair_planes_differ_only_along_edges_outside_defects(board_folder):
    boards = load_boards(board_folder, board_ids(board_folder))
    crops = Crops(boards, 60, 96, seed=6, inputs=2)
    for k in range(len(crops)):
        (test, template), boxes, _ = crops[k]
        differ = ((test != template) & outside(boxes, 96)).astype(np.uint8)
        assert cv2.erode(differ, np.ones((9, 9), np.uint8), borderValue=0).sum() == 0


def test_a_defect_that_does_not_mend_stays_and_keeps_its_label():
    """Without a template nothing can be painted over: a box may vanish only with its defect."""
    test = np.full((64, 64), 255, np.uint8)
    test[20:40, 20:40] = 0
    board = Board("x", test, None, np.array([[20, 20, 40, 40]], np.float32), np.array([4]))
    crops = Crops([board], 30, 48, seed=1, mosaic_share=0)
    for k in range(30):
        planes, boxes, _ = crops[k]
        share = (planes == 0).sum() / 400
        if share > 0.75:
            assert len(boxes) == 1
        if share < 0.2:
            assert len(boxes) == 0


def test_collate_pads_and_says_what_is_real():
    planes = np.zeros((2, 32, 32), np.uint8)
    box = np.array([[1, 2, 3, 4]], np.float32)
    empty = (planes, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    images, truth, labels, valid = collate([empty, (planes, box, np.array([5]))])
    assert images.shape == (2, 2, 32, 32) and images.dtype == torch.uint8
    assert valid.tolist() == [[False], [True]]
    assert truth[1, 0].tolist() == [1, 2, 3, 4] and labels[1, 0] == 5


def test_a_part_is_linked_whole_and_nothing_else(tmp_path):
    root = tmp_path / "all"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for name in ("5060000", "5060001", "1300000"):
        (root / "labels" / f"{name}.txt").write_text("1 1 20 20 1\n")
        for kind in ("test", "temp"):
            cv2.imwrite(str(root / "images" / f"{name}_{kind}.jpg"), np.zeros((32, 32), np.uint8))
    assert link(root, "group", tmp_path / "group") == 2
    assert board_ids(tmp_path / "group") == ["5060000", "5060001"]
    assert len(list((tmp_path / "group" / "images").iterdir())) == 4
    assert load_board(tmp_path / "group", "5060001").template is not None
    with pytest.raises(FileExistsError):
        link(root, "group", tmp_path / "group")
