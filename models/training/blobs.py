"""Pin-holes and spurious copper put elsewhere: these two may lie anywhere in one kind of ground."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from boards import Board
from network import CLASSES

GROUND = {CLASSES.index("copper"): 255, CLASSES.index("pin-hole"): 0}  # what is around it: bare board, copper
ROOM = 4  # px of ground around a blob that is put somewhere
LEAST = 12  # px, smaller ones are what alignment leaves
TRIES = 12  # places looked at for one blob


@dataclass(frozen=True)
class Blob:
    """A real defect: its pixels [h,w] bool, its label, and that label's margins: left, top, right, bottom."""

    pixels: np.ndarray
    margins: np.ndarray
    label: int


def gather(boards: list[Board], usable: Callable[[Board, np.ndarray], bool]) -> list[Blob]:
    """The blobs of boards with templates, where `usable` says that board and template fit around the box."""
    found = []
    for board in boards:
        for box, label in zip(board.boxes, board.labels, strict=True):
            if label in GROUND and usable(board, box):
                found.append(cut(board, box, int(label)))
    return [blob for blob in found if blob is not None]


def cut(board: Board, box: np.ndarray, label: int) -> Blob | None:
    """The largest piece in the box that differs from the template; None where it is tiny or at the border."""
    x1, y1, x2, y2 = (int(v) for v in box)
    differ = (board.test[y1:y2, x1:x2] != board.template[y1:y2, x1:x2]).astype(np.uint8)
    count, pieces, table, _ = cv2.connectedComponentsWithStats(differ, connectivity=8)
    if count < 2:
        return None
    k = 1 + int(table[1:, cv2.CC_STAT_AREA].argmax())
    x, y, w, h, area = (int(v) for v in table[k])
    margins = np.array([x, y, x2 - x1 - x - w, y2 - y1 - y - h], np.float32)
    if area < LEAST or margins.min() < 2:
        return None
    return Blob(pieces[y : y + h, x : x + w] == k, margins, label)


def paste(rng: np.random.Generator, blob: Blob, tile: np.ndarray, boxes: np.ndarray, labels: np.ndarray):
    """Put a blob into a tile where there is ground all around it and no other defect, if such a place is met.

    Returns tile, boxes and labels anew; the ones given stay as they are.
    """
    h, w = blob.pixels.shape
    rows, columns = tile.shape
    ground = GROUND[blob.label]
    if rows <= h + 2 * ROOM or columns <= w + 2 * ROOM:
        return tile, boxes, labels
    for _ in range(TRIES):
        y, x = int(rng.integers(ROOM, rows - h - ROOM)), int(rng.integers(ROOM, columns - w - ROOM))
        left, top, right, bottom = blob.margins
        box = np.array([x - left, y - top, x + w + right, y + h + bottom], np.float32)
        around = tile[y - ROOM : y + h + ROOM, x - ROOM : x + w + ROOM]
        if (around != ground).any() or touches(box, boxes):
            continue
        tile = tile.copy()
        tile[y : y + h, x : x + w][blob.pixels] = 255 - ground
        box = np.clip(box, 0, np.array([columns, rows, columns, rows], np.float32))
        return tile, np.concatenate((boxes, box[None])), np.append(labels, blob.label)
    return tile, boxes, labels


def touches(box: np.ndarray, boxes: np.ndarray) -> bool:
    """Whether a box [4] has a pixel or a border in common with one of boxes [n,4]."""
    return bool(((boxes[:, :2] <= box[2:]) & (boxes[:, 2:] >= box[:2])).all(1).any())
