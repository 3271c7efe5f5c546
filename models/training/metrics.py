"""Detection metrics: matching as COCO and as the data set's paper do it, average precision, best F."""

from dataclasses import dataclass

import numpy as np

PLATEAU = 0.005
IOU33 = 0.33  # the overlap that the data set's paper asks for, and more


@dataclass(frozen=True)
class Detections:
    """Boxes [n,4] x1,y1,x2,y2 outlines in pixels, scores [n], labels [n]. n may be zero."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Truth:
    """Boxes [m,4] and labels [m]. m may be zero."""

    boxes: np.ndarray
    labels: np.ndarray


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union [n,m] of boxes [n,4] and [m,4]; either may be empty."""
    a, b = a.reshape(-1, 4), b.reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = (high - low).clip(0).prod(2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    return inter / np.maximum(area_a[:, None] + area_b[None] - inter, 1e-9)


def suppress(found: Detections, limit: float, agnostic: bool = False, most: int | None = None) -> Detections:
    """Non-maximum suppression: drop a box that overlaps a better one of its class by more than limit.

    Agnostic: a better one of any class. Keeps the `most` best at most.
    """
    order = np.argsort(-found.scores, kind="stable")
    boxes, labels = found.boxes[order], found.labels[order]
    blocks = (iou_matrix(boxes, boxes) > limit) & (agnostic | (labels[:, None] == labels[None]))
    keep = np.ones(len(order), bool)
    for k in range(len(order)):
        if keep[k]:
            keep[k + 1 :] &= ~blocks[k, k + 1 :]
    order = order[keep][:most]
    return Detections(found.boxes[order], found.scores[order], found.labels[order])


def matches(found: Detections, truth: Truth, label: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the class's detections, best first, and whether each hits a free box at IoU > least."""
    mine = found.labels == label
    order = np.argsort(-found.scores[mine], kind="stable")
    boxes, scores = found.boxes[mine][order], found.scores[mine][order]
    overlap = iou_matrix(boxes, truth.boxes[truth.labels == label])
    hits = np.zeros(len(scores), bool)
    for k in range(len(scores)):
        if overlap.shape[1] == 0:
            break
        best = int(overlap[k].argmax())
        if overlap[k, best] > least:
            hits[k] = True
            overlap[:, best] = -1
    return scores, hits


def claims(overlap: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Pairs row, column: each column in turn takes the first free row that it overlaps by more than least.

    This is how the script of the data set's authors matches, as agent/internal/eval does: labels in the order
    of their file, detections by falling score.
    """
    free, joined = np.ones(overlap.shape[0], bool), []
    for column in range(overlap.shape[1]):
        over = np.flatnonzero(free & (overlap[:, column] > least))
        if len(over):
            free[over[0]] = False
            joined.append((int(over[0]), column))
    return joined


def paper_matches(found: Detections, truth: Truth, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the class's detections, best first, and whether a label claims each at IoU > IOU33."""
    mine = found.labels == label
    order = np.argsort(-found.scores[mine], kind="stable")
    overlap = iou_matrix(found.boxes[mine][order], truth.boxes[truth.labels == label])
    hits = np.zeros(len(order), bool)
    hits[[k for k, _ in claims(overlap, IOU33)]] = True
    return found.scores[mine][order], hits


@dataclass(frozen=True)
class Curve:
    """A class's precision and recall as its threshold falls: scores, best first, and their hits."""

    scores: np.ndarray
    hits: np.ndarray
    wanted: int

    def paper_precision(self) -> float:
        """The paper's average precision: sum of the precision at each hit, over the labels; nan without."""
        if self.wanted == 0:
            return float("nan")
        precision = self.hits.cumsum() / np.arange(1, len(self.hits) + 1)
        return float(precision[self.hits].sum() / self.wanted)

    def average_precision(self) -> float:
        """COCO's: mean of the precision envelope at 101 recalls; 0 without detections, nan without truth."""
        if self.wanted == 0:
            return float("nan")
        if len(self.scores) == 0:
            return 0.0
        right = self.hits.cumsum()
        recall = right / self.wanted
        precision = right / np.arange(1, len(right) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        return float(np.append(envelope, 0.0)[at].mean())

    def best(self) -> tuple[float, float]:
        """Best F and its threshold; (0, 1) without detections or truth.

        The threshold is the middle of the scores whose F comes within PLATEAU of the best: the very best
        point of a small set is an accident of that set.
        """
        if self.wanted == 0 or len(self.scores) == 0:
            return 0.0, 1.0
        f = 2 * self.hits.cumsum() / (np.arange(1, len(self.scores) + 1) + self.wanted)
        good = self.scores[f >= f.max() - PLATEAU]
        return float(f.max()), float((good[0] + good[-1]) / 2)

    def at(self, threshold: float) -> tuple[int, int, int]:
        """Hits, false alarms and misses with this threshold."""
        kept = self.scores >= threshold
        hits = int(self.hits[kept].sum())
        return hits, int(kept.sum()) - hits, self.wanted - hits


def curve(images: list[tuple[Detections, Truth]], label: int, least: float) -> Curve:
    """A class's curve over all images at IoU > least, matched as COCO does."""
    return joined([matches(found, truth, label, least) for found, truth in images], images, label)


def paper_curve(images: list[tuple[Detections, Truth]], label: int) -> Curve:
    """A class's curve over all images, matched as the paper does."""
    return joined([paper_matches(found, truth, label) for found, truth in images], images, label)


def joined(pairs: list, images: list[tuple[Detections, Truth]], label: int) -> Curve:
    """The images' scores and hits as one curve."""
    scores = np.concatenate([s for s, _ in pairs]) if pairs else np.zeros(0)
    hits = np.concatenate([h for _, h in pairs]) if pairs else np.zeros(0, bool)
    order = np.argsort(-scores, kind="stable")
    wanted = sum(int((truth.labels == label).sum()) for _, truth in images)
    return Curve(scores[order], hits[order], wanted)


def known_mean(values: list[float]) -> float:
    """Mean over the classes that occur, the others being nan; nan if none does."""
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def f_score(hits: int, false_alarms: int, misses: int) -> float:
    """2PR/(P+R) from counts; 1 when there is nothing to find and nothing was found."""
    total = 2 * hits + false_alarms + misses
    return 2 * hits / total if total else 1.0
