"""The crops a network learns from: windows and mosaics around defects, turned and varied."""

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from blobs import gather, paste
from boards import Board

MARGIN = 4  # px around a box that its defect may still touch
PASTED = 0.35  # chance of a window to get a blob of another board, and then of one more
JITTER = (0, 0, 0, 0, 0, -1, 1, -1, 1, -2, 2)  # px, what alignment may leave between board and template


def turn(planes: np.ndarray, boxes: np.ndarray, way: int) -> tuple[np.ndarray, np.ndarray]:
    """One of eight flips and quarter turns of [C,H,W]: bit 0 mirrors x, bit 1 mirrors y, bit 2 swaps axes."""
    _, height, width = planes.shape
    boxes = boxes.copy()
    if way & 1:
        planes, boxes[:, [0, 2]] = planes[:, :, ::-1], width - boxes[:, [2, 0]]
    if way & 2:
        planes, boxes[:, [1, 3]] = planes[:, ::-1], height - boxes[:, [3, 1]]
    if way & 4:
        planes, boxes = planes.transpose(0, 2, 1), boxes[:, [1, 0, 3, 2]]
    return planes, boxes


def mendable(board: Board, box: np.ndarray) -> bool:
    """Whether the template fits around the box well enough to paint the defect over with it."""
    if board.template is None:
        return False
    x1, y1, x2, y2 = _grown(box, 3 * MARGIN, board.test.shape)
    differ = board.test[y1:y2, x1:x2] != board.template[y1:y2, x1:x2]
    a, b, c, d = _grown(box, MARGIN, board.test.shape)
    ring = differ.size - (c - a) * (d - b)
    outside = int(differ.sum()) - int(differ[b - y1 : d - y1, a - x1 : c - x1].sum())
    return outside <= 0.04 * ring


def _grown(box: np.ndarray, margin: int, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(v) for v in box)
    return max(x1 - margin, 0), max(y1 - margin, 0), min(x2 + margin, shape[1]), min(y2 + margin, shape[0])


class Crops(Dataset):
    """Endless, repeatable crops: sample i depends on seed and i alone, so a resumed run sees the same.

    A sample is one window, nearly always around a defect, or a mosaic of four such windows at native
    scale. Some windows come from templates, and some defects are painted over with template
    pixels, so that the network sees the same place with and without its defect; some get a pin-hole or
    spurious copper of another board. With two inputs the template goes beside the board, a little off,
    as alignment leaves it.
    """

    def __init__(
        self,
        boards: list[Board],
        count: int,
        size: int,
        seed: int,
        inputs: int = 1,
        extra: list[Board] = (),
        extra_share: float = 0.25,
        mosaic_share: float = 0.5,
    ):
        self.inputs = inputs
        self.mosaic_share = mosaic_share
        self.boards, self.extra, self.extra_share = boards, list(extra), extra_share
        self.count, self.size, self.seed = count, size, seed
        self.blobs = gather(self.boards, mendable)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng((self.seed, index))
        source = self.extra if self.extra and rng.random() < self.extra_share else self.boards
        size = self.size
        if rng.random() >= self.mosaic_share:
            planes, boxes, labels = self._window(rng, source, size, size)
        else:
            planes, boxes, labels = self._mosaic(rng, source)
        planes, boxes = turn(planes, boxes, int(rng.integers(8)))
        shares = (0.5, 0.25)  # a template was made with more care
        varied = [_print_variation(rng, p, share) for p, share in zip(planes, shares, strict=False)]
        return np.stack(varied), boxes, labels

    def _mosaic(self, rng: np.random.Generator, source: list[Board]):
        size = self.size
        x, y = (int(v) for v in rng.integers(size * 2 // 5, size * 3 // 5 + 1, 2))
        planes, boxes, labels = np.empty((self.inputs, size, size), np.uint8), [], []
        for x1, y1, x2, y2 in ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)):
            tile, found, kinds = self._window(rng, source, x2 - x1, y2 - y1)
            planes[:, y1:y2, x1:x2] = tile
            boxes.append(found + np.array([x1, y1, x1, y1], np.float32))
            labels.append(kinds)
        return planes, np.concatenate(boxes), np.concatenate(labels)

    def _window(self, rng: np.random.Generator, source: list[Board], width: int, height: int):
        board = source[int(rng.integers(len(source)))]
        left, top = _place(rng, board, width, height)
        if board.template is not None and rng.random() < 0.07:
            tile = board.template[top : top + height, left : left + width]
            boxes, labels = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        else:
            tile, boxes, labels = _cut(rng, board, left, top, width, height)
        while self.blobs and rng.random() < PASTED:
            blob = self.blobs[int(rng.integers(len(self.blobs)))]
            tile, boxes, labels = paste(rng, blob, tile, boxes, labels)
        if self.inputs == 1:
            return tile[None], boxes, labels
        return np.stack((tile, _beside(rng, board, left, top, width, height))), boxes, labels


def _place(rng: np.random.Generator, board: Board, width: int, height: int) -> tuple[int, int]:
    """Corner of a window that holds a defect of the board whole, or of any window of a clean board."""
    rows, columns = board.test.shape
    if len(board.boxes) == 0 or rng.random() < 0.15:
        return int(rng.integers(columns - width + 1)), int(rng.integers(rows - height + 1))
    box = board.boxes[int(rng.integers(len(board.boxes)))]
    left = _corner(rng, box[0], box[2], width, columns)
    return left, _corner(rng, box[1], box[3], height, rows)


def _corner(rng: np.random.Generator, low: float, high: float, length: int, limit: int) -> int:
    first = max(int(high) + MARGIN - length, 0)
    last = min(int(low) - MARGIN, limit - length)
    first, last = min(first, limit - length), max(last, 0)
    return int(rng.integers(min(first, last), max(first, last) + 1))


def _cut(rng: np.random.Generator, board: Board, left: int, top: int, width: int, height: int):
    """Cut a window out; defects cut by its border, and a few others, are painted over where possible."""
    tile = board.test[top : top + height, left : left + width]
    window = np.array([left, top, left + width, top + height], np.float32)
    seen = np.concatenate(
        (np.maximum(board.boxes[:, :2], window[:2]), np.minimum(board.boxes[:, 2:], window[2:])), 1
    )
    share = (seen[:, 2:] - seen[:, :2]).clip(0).prod(1) / (board.boxes[:, 2:] - board.boxes[:, :2]).prod(1)
    keep = share > 0
    for k in np.flatnonzero(keep):
        wanted = share[k] < 0.7 or rng.random() < 0.08
        if not wanted or not mendable(board, board.boxes[k]):
            keep[k] = share[k] >= 0.4
            continue
        tile = tile.copy() if tile.base is not None else tile
        x1, y1, x2, y2 = _grown(board.boxes[k], MARGIN, board.test.shape)
        x1, y1, x2, y2 = max(x1, left), max(y1, top), min(x2, left + width), min(y2, top + height)
        tile[y1 - top : y2 - top, x1 - left : x2 - left] = board.template[y1:y2, x1:x2]
        keep[k] = False
    return tile, seen[keep] - window[[0, 1, 0, 1]], board.labels[keep]


def _beside(rng: np.random.Generator, board: Board, left: int, top: int, width: int, height: int):
    """The template's window, moved by what alignment may leave; the border repeats."""
    dx, dy = (JITTER[int(k)] for k in rng.integers(len(JITTER), size=2))
    rows = np.clip(np.arange(top + dy, top + dy + height), 0, board.template.shape[0] - 1)
    columns = np.clip(np.arange(left + dx, left + dx + width), 0, board.template.shape[1] - 1)
    return board.template[rows[:, None], columns]


def _print_variation(rng: np.random.Generator, image: np.ndarray, share: float) -> np.ndarray:
    """Etching and optics, in a share of the images: edges soften, wander and settle at another place."""
    image = np.ascontiguousarray(image)
    if rng.random() >= share:
        return image
    soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.5)))
    if rng.random() < 0.3:
        grain = rng.standard_normal(image.shape, np.float32) * rng.uniform(20, 90)
        soft = soft + cv2.GaussianBlur(grain, (0, 0), float(rng.uniform(0.8, 2.0)))
    return np.where(soft > rng.uniform(80, 175), np.uint8(255), np.uint8(0))


def collate(samples: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Planes [B,C,H,W] uint8, boxes [B,M,4], labels [B,M], and which of the M are real [B,M]."""
    most = max(len(boxes) for _, boxes, _ in samples)
    truth = torch.zeros(len(samples), most, 4)
    kinds = torch.zeros(len(samples), most, dtype=torch.int64)
    valid = torch.zeros(len(samples), most, dtype=torch.bool)
    for k, (_, boxes, labels) in enumerate(samples):
        truth[k, : len(boxes)] = torch.from_numpy(np.ascontiguousarray(boxes, np.float32))
        kinds[k, : len(labels)] = torch.from_numpy(labels)
        valid[k, : len(boxes)] = True
    images = torch.from_numpy(np.stack([planes for planes, _, _ in samples]))
    return images, truth, kinds, valid
