"""Write metrics.json: random labels and detections with the figures that others compute for them.

map50 and map50_95 come from pycocotools. The figures at IoU 0.33 come from the functions below, written from
the definition that the DeepPCB data set publishes (README.md and evaluation/script.py of
github.com/tangsanli5201/DeepPCB), in numpy and without regard to the Go code.

python -m venv V && V/bin/pip install pycocotools==2.0.11 numpy==2.4.6
V/bin/python reference.py            # writes metrics.json beside itself
V/bin/python reference.py --check    # computes anew and compares
"""

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIDE = 640
PATH = Path(__file__).with_name("metrics.json")

# A label is [class, ignored, x1, y1, x2, y2], a detection [class, score, x1, y1, x2, y2]: corners in pixels,
# right and bottom exclusive. An image is {"labels": [...], "detected": [...]}.


class Maker:
    """Makes cases. Corners are multiples of grid, scores of step: coarse ones make ties."""

    def __init__(self, seed: int, classes: int, grid: float, step: float) -> None:
        self.random = np.random.default_rng(seed)
        self.classes, self.grid, self.step = classes, grid, step

    def box(self, low: float = 16, high: float = 90) -> list[float]:
        """Somewhere in the image."""
        size = self.random.uniform(low, high, 2)
        start = self.random.uniform(0, SIDE - size)
        return self.snap([*start, *(start + size)])

    def near(self, box: list[float], spread: float) -> list[float]:
        """A box like this one, each corner shifted by about spread of its size."""
        size = np.array([box[2] - box[0], box[3] - box[1]])
        moved = np.array(box) + self.random.normal(0, spread, 4) * np.tile(size, 2)
        low, high = np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])
        return self.snap([*low, *np.maximum(high, low + 2)])

    def snap(self, corners: list[float]) -> list[float]:
        """To the grid and to float32, which is what a worker sends."""
        on = np.round(np.array(corners) / self.grid) * self.grid
        return [float(v) for v in on.astype(np.float32)]

    def score(self) -> float:
        """0 to 1 in steps, as float32."""
        return float(np.float32(round(self.random.beta(2, 2) / self.step) * self.step))

    def image(self, labels: int, crowds: int, false: int, doubles: float) -> dict:
        """Labels, most of them found, some twice, some as another class, and false alarms."""
        marked = [[int(self.random.integers(self.classes)), 0, *self.box()] for _ in range(labels)]
        found = []
        for label, _, *box in marked:
            spread = self.random.choice([0, 0.03, 0.1, 0.2])
            if self.random.random() < 0.85:
                found.append([label, self.score(), *self.near(box, spread)])
            while self.random.random() < doubles:
                found.append([label, self.score(), *self.near(box, spread)])
            if self.random.random() < 0.1:
                found.append([(label + 1) % self.classes, self.score(), *self.near(box, spread)])
        for _ in range(crowds):
            label, box = int(self.random.integers(self.classes)), self.box(60, 250)
            marked.insert(int(self.random.integers(len(marked) + 1)), [label, 1, *box])
            for _ in range(int(self.random.integers(5))):
                found.append([label, self.score(), *self.near(box, 0.3)])
        for _ in range(false):
            found.append([int(self.random.integers(self.classes)), self.score(), *self.box()])
        if marked and self.random.random() < doubles:
            marked.append(list(marked[0]))
        order = self.random.permutation(len(found))
        return {"labels": marked, "detected": [found[k] for k in order]}


def between(order: list[int]) -> dict:
    """A detection that overlaps two labels alike, and a worse one that could be only the first's."""
    labels = [[0, 0, 0.0, 0.0, 40.0, 40.0], [0, 0, 20.0, 0.0, 60.0, 40.0]]
    found = [[0, 0.875, 10.0, 0.0, 50.0, 40.0], [0, 0.75, 0.0, 0.0, 38.0, 40.0]]
    return {"labels": [labels[k] for k in order], "detected": found}


def cases() -> dict[str, tuple[int, list[dict]]]:
    """Number of classes and images, by name."""
    plain = Maker(1, 6, 0.25, 1 / 1024)
    ties = Maker(2, 3, 4, 1 / 8)
    crowds = Maker(3, 2, 1, 1 / 64)
    many = Maker(4, 40, 0.25, 1 / 256)
    full = Maker(5, 1, 2, 1 / 16)
    floats = Maker(6, 3, 1e-6, 1e-6)
    loose = Maker(7, 2, 8, 1 / 32)
    return {
        "boards": (6, [plain.image(6, 0, 2, 0.05) for _ in range(16)] + [plain.image(0, 0, 0, 0)]),
        "ties of score and overlap": (3, [ties.image(8, 0, 3, 0.4) for _ in range(12)]),
        "ignored regions": (2, [crowds.image(4, 2, 4, 0.2) for _ in range(14)]),
        "only an ignored region": (2, [crowds.image(0, 1, 1, 0) for _ in range(3)]),
        "images without labels": (2, [crowds.image(0, 0, n % 3, 0) for n in range(5)]),
        "nothing detected": (6, [{**plain.image(5, 0, 0, 0), "detected": []}]),
        "many classes": (40, [many.image(8, n % 2, 2, 0.1) for n in range(12)]),
        "over a hundred detections": (1, [full.image(20, 0, 130, 0.5), full.image(9, 1, 90, 0.5)]),
        "corners and scores of any value": (3, [floats.image(5, n % 2, 2, 0.2) for n in range(8)]),
        "a detection between two labels": (1, [between([0, 1])]),
        "the same, labels in turned order": (1, [between([1, 0])]),
        "labels on top of each other": (2, [loose.image(30, n % 2, 3, 0.7) for n in range(4)]),
    }


def by_pycocotools(classes: int, images: list[dict]) -> dict:
    """AP at IoU 0.5 and its mean over 0.50 to 0.95, by class and of all; None where nothing is labelled."""
    data = {
        "images": [{"id": n + 1, "width": SIDE, "height": SIDE} for n in range(len(images))],
        "categories": [{"id": k + 1, "name": str(k)} for k in range(classes)],
        "annotations": [],
    }
    results = []
    for n, image in enumerate(images, 1):
        for label, crowd, *box in image["labels"]:
            key, wide, high = len(data["annotations"]) + 1, box[2] - box[0], box[3] - box[1]
            data["annotations"].append(
                {"id": key, "image_id": n, "category_id": label + 1, "iscrowd": crowd, "area": wide * high}
                | {"bbox": [box[0], box[1], wide, high]}
            )
        for label, score, *box in image["detected"]:
            shape = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": n, "category_id": label + 1, "score": score, "bbox": shape})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = data
        truth.createIndex()
        found = truth.loadRes(results) if results else COCO()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class]: any area, 100 detections
    fifty, every = precision[0].mean(0), precision.mean((0, 1))
    known = fifty > -1
    return {
        "map50": float(fifty[known].mean()) if known.any() else 0.0,
        "map50_95": float(every[known].mean()) if known.any() else 0.0,
        "ap50": [float(v) if k else None for v, k in zip(fifty, known, strict=True)],
        "ap50_95": [float(v) if k else None for v, k in zip(every, known, strict=True)],
    }


def shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas [n,m] that boxes [n,4] and [m,4] share."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    return np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - low, 0, None).prod(2)


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas [n] of boxes [n,4]."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def paper_matches(image: dict, label: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores and hits of one class's detections in an image, and how many labels there are to find."""
    marked = np.array([v for v in image["labels"] if v[0] == label]).reshape(-1, 6)
    found = np.array([v for v in image["detected"] if v[0] == label]).reshape(-1, 6)
    ignored, wanted = marked[marked[:, 1] == 1, 2:], marked[marked[:, 1] == 0, 2:]
    covered = shared(found[:, 2:], ignored) / area(found[:, 2:])[:, None]
    found = found[~(covered > 0.5).any(1)]
    found = found[np.argsort(-found[:, 1], kind="stable")]
    both = shared(wanted, found[:, 2:])
    over = both / (area(wanted)[:, None] + area(found[:, 2:])[None] - both) > 0.33
    hits = np.zeros(len(found), bool)
    for row in over:
        free = np.flatnonzero(row & ~hits)
        hits[free[:1]] = True
    return found[:, 1], hits, len(wanted)


def by_paper(classes: int, images: list[dict], thresholds: list[float]) -> dict:
    """Average precision by class and of all, and F over all classes at the thresholds."""
    each, total = [], np.zeros(3)
    for label in range(classes):
        parts = [paper_matches(image, label) for image in images]
        scores, hits = (np.concatenate([p[k] for p in parts]) for k in (0, 1))
        wanted = sum(p[2] for p in parts)
        order = np.argsort(-scores, kind="stable")
        precision = hits[order].cumsum() / np.arange(1, len(hits) + 1)
        each.append(float(precision[hits[order]].sum() / wanted) if wanted else None)
        reach = scores >= thresholds[label]
        total += [hits[reach].sum(), reach.sum(), wanted]
    known = [v for v in each if v is not None]
    return {
        "map_iou33": float(np.mean(known)) if known else 0.0,
        "f_iou33": float(2 * total[0] / max(total[1] + total[2], 1)),
        "ap_iou33": each,
    }


def build() -> list[dict]:
    """All cases with their figures."""
    out = []
    for name, (classes, images) in cases().items():
        thresholds = [0.3 + 0.4 * k / classes for k in range(classes)]
        want = by_pycocotools(classes, images) | by_paper(classes, images, thresholds)
        out.append({"name": name, "thresholds": thresholds, "images": images, "want": want})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with metrics.json, write nothing")
    args = parser.parse_args()
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in build())
    text = f"[\n{lines}\n]\n"
    if not args.check:
        PATH.write_text(text)
    elif PATH.read_text() != text:
        sys.exit("metrics.json is not what this program writes")


if __name__ == "__main__":
    main()
