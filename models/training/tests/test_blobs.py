"""Blobs: cut out of boards, and put only where there is ground for them."""

import numpy as np
import pytest

from blobs import GROUND, ROOM, Blob, cut, gather, paste, touches
from boards import Board
from dataset import Crops, mendable
from network import CLASSES

COPPER, PIN_HOLE = CLASSES.index("copper"), CLASSES.index("pin-hole")
NONE = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)


@pytest.fixture
def board():
    """Copper on the left half with a hole of 8 x 6 px, a spot of 7 x 9 px on the right, and a spur."""
    template = np.full((200, 200), 255, np.uint8)
    template[:, :100] = 0
    test = template.copy()
    test[50:56, 40:48] = 255
    test[120:129, 150:157] = 0
    test[20:26, 100:106] = 0
    boxes = np.array([[30, 40, 58, 66], [141, 110, 168, 139], [90, 10, 116, 36]], np.float32)
    return Board("a", test, template, boxes, np.array([PIN_HOLE, COPPER, CLASSES.index("spur")]))


def test_blobs_are_the_pin_holes_and_the_copper_with_their_margins(board):
    hole, spot = gather([board], mendable)
    assert (hole.label, hole.pixels.shape, hole.margins.tolist()) == (PIN_HOLE, (6, 8), [10, 10, 10, 10])
    assert (spot.label, spot.pixels.shape, spot.margins.tolist()) == (COPPER, (9, 7), [9, 10, 11, 10])
    assert hole.pixels.all()
    assert gather([board], lambda *_: False) == []


def test_a_tiny_difference_and_one_at_the_boxs_border_are_no_blobs(board):
    assert cut(board, np.array([39, 40, 58, 66]), PIN_HOLE) is None
    assert cut(board, np.array([0, 0, 30, 30]), PIN_HOLE) is None
    board.test[50:56, 40:48] = 0
    board.test[50:53, 40:43] = 255
    assert cut(board, board.boxes[0], PIN_HOLE) is None


@pytest.mark.parametrize("label", [COPPER, PIN_HOLE])
def test_a_blob_lies_in_its_ground_with_room_around_it(board, label):
    rng = np.random.default_rng(4)
    pixels = np.zeros((5, 9), bool)
    pixels[1:4, 2:] = True
    blob = Blob(pixels, np.array([10, 9, 8, 7], np.float32), label)
    placed = 0
    for _ in range(40):
        tile, boxes, labels = paste(rng, blob, board.template, *NONE)
        if len(boxes) == 0:
            continue
        placed += 1
        differ = tile != board.template
        assert differ.sum() == pixels.sum()
        ys, xs = np.nonzero(differ)
        y, x = ys.min() - 1, xs.min() - 2
        assert (tile[y : y + 5, x : x + 9][pixels] == 255 - GROUND[label]).all()
        around = board.template[y - ROOM : y + 5 + ROOM, x - ROOM : x + 9 + ROOM]
        assert (around == GROUND[label]).all()
        assert labels.tolist() == [label]
        whole = [x - 10, y - 9, x + 9 + 8, y + 5 + 7]
        assert boxes[0].tolist() == np.clip(whole, 0, 200).tolist()
    assert placed > 30
    assert (board.template[:, :100] == 0).all(), "what was given stays as it is"


def test_nothing_is_put_on_a_defect_nor_where_there_is_no_ground(board):
    rng = np.random.default_rng(5)
    blob = Blob(np.ones((6, 6), bool), np.full(4, 10, np.float32), COPPER)
    everywhere = np.array([[0, 0, 200, 200]], np.float32), np.array([0])
    for tile, boxes, labels in (
        (board.template, *everywhere),
        (np.zeros((200, 200), np.uint8), *NONE),
        (np.full((14, 200), 255, np.uint8), *NONE),
    ):
        for _ in range(20):
            same, still, kinds = paste(rng, blob, tile, boxes, labels)
            assert same is tile
            assert still is boxes
            assert kinds is labels


def test_boxes_that_share_a_border_touch():
    box = np.array([10, 10, 20, 20])
    assert touches(box, np.array([[20, 15, 30, 30]]))
    assert not touches(box, np.array([[21, 15, 30, 30], [0, 0, 9, 40]]))
    assert not touches(box, np.zeros((0, 4)))


def test_crops_of_one_board_show_more_defects_than_it_has(board):
    crops = Crops([board], 30, 128, seed=1, inputs=2, mosaic_share=0)
    assert sum((crops[k][2] == PIN_HOLE).sum() for k in range(30)) > 15
    plain = Crops([board], 30, 128, seed=1, inputs=2, mosaic_share=0)
    plain.blobs = []
    assert sum((plain[k][2] == PIN_HOLE).sum() for k in range(30)) < 15
