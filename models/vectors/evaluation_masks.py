"""Write what `sightline-agent eval` must say of masks: pycocotools' average precision of outlines.

    python evaluation_masks.py ../../agent/internal/eval/testdata/masks.json

Labels are polygons, several of them for one label, or runs as numbers or as text, some of them crowds; what
is found is a polygon of at most 64 corners, as the worker sends it. The area of each is that of pycocotools.
"""

import contextlib
import io
import json
import sys

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CORNERS = 64


class Maker:
    """Makes images of a size. Corners are multiples of grid, scores of step: coarse ones make ties."""

    def __init__(self, seed: int, size: tuple[int, int], classes: int, grid: float, step: float) -> None:
        self.random = np.random.default_rng(seed)
        self.size, self.classes, self.grid, self.step = size, classes, grid, step

    def polygon(self, beyond: float = 0) -> np.ndarray:
        """A star around somewhere, [corners, 2], which may cross itself or leave the image."""
        count = int(self.random.integers(3, 24))
        angles = np.sort(self.random.uniform(0, 2 * np.pi, count))
        if self.random.random() < 0.2:
            self.random.shuffle(angles)
        radius = self.random.uniform(2, min(self.size) / 4) * self.random.uniform(0.5, 1, count)
        centre = self.random.uniform(0, self.size)
        corners = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None]
        return self.snap(np.clip(corners, -beyond, np.array(self.size) + beyond))

    def snap(self, corners: np.ndarray) -> np.ndarray:
        """To the grid and to float32, which is what a worker sends."""
        return (np.round(corners / self.grid) * self.grid).astype(np.float32).astype(float)

    def near(self, corners: np.ndarray, spread: float) -> np.ndarray:
        """An outline like this one."""
        moved = corners + self.random.normal(0, spread, 2) + self.random.normal(0, spread / 2, corners.shape)
        return self.snap(np.clip(moved, 0, self.size))[:CORNERS]

    def label(self) -> tuple[dict, np.ndarray]:
        """A label, and the first of its polygons."""
        parts = [self.polygon(3) for _ in range(1 + int(self.random.random() < 0.3))]
        polygons = [p.ravel().tolist() for p in parts]
        shape, kind = polygons, self.random.random()
        if kind < 0.4:
            rle = mask.merge(mask.frPyObjects(polygons, *self.size[::-1]))
            shape = {"size": list(self.size[::-1]), "counts": rle["counts"].decode()}
            if kind < 0.2:
                flat = np.asfortranarray(mask.decode(rle)).ravel(order="F")
                edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
                shape["counts"] = np.diff([0, *edges, len(flat)]).astype(int).tolist()
        label = {"class": int(self.random.integers(self.classes)), "shape": shape}
        label["crowd"] = int(kind < 0.4 and self.random.random() < 0.3)
        return label, parts[0]

    def image(self, count: int, false: int) -> dict:
        labels, found = [], []
        for _ in range(count):
            label, first = self.label()
            labels.append(label)
            for _ in range(int(self.random.integers(0, 3))):
                found.append([label["class"], self.near(first, self.random.choice([0.3, 1, 3]))])
        for _ in range(false):
            found.append([int(self.random.integers(self.classes)), self.near(self.polygon(), 0)])
        detected = [
            {
                "class": kind,
                "score": float(np.float32(np.round(self.random.random() / self.step) * self.step)),
                "outline": corners.ravel().tolist(),
            }
            for kind, corners in found
        ]
        return {"size": self.size, "labels": labels, "detected": detected}


def encoded(shape: list | dict, size: tuple[int, int]) -> dict:
    """Of the runs that pycocotools makes of a label's shape."""
    if isinstance(shape, list):
        return mask.merge(mask.frPyObjects(shape, *size[::-1]))
    if isinstance(shape["counts"], list):
        return mask.frPyObjects(shape, *size[::-1])
    return shape


def judged(classes: int, images: list[dict]) -> dict:
    """AP at IoU 0.5 and its mean over 0.50 to 0.95, by class and of all; None where nothing is labelled."""
    data = {
        "images": [
            {"id": n + 1, "width": im["size"][0], "height": im["size"][1]} for n, im in enumerate(images)
        ],
        "categories": [{"id": k + 1, "name": str(k)} for k in range(classes)],
        "annotations": [],
    }
    results = []
    for n, image in enumerate(images, 1):
        for label in image["labels"]:
            runs = encoded(label["shape"], image["size"])
            label["area"] = int(mask.area(runs))
            data["annotations"].append(
                {"id": len(data["annotations"]) + 1, "image_id": n, "category_id": label["class"] + 1}
                | {"iscrowd": label["crowd"], "segmentation": label["shape"], "area": label["area"]}
                | {"bbox": mask.toBbox(runs).tolist()}
            )
        for one in image["detected"]:
            runs = mask.frPyObjects([one["outline"]], *image["size"][::-1])[0]
            one["area"] = int(mask.area(runs))
            results.append({"image_id": n, "category_id": one["class"] + 1, "score": one["score"]})
            results[-1]["segmentation"] = runs
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = data
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class]: any area, 100 detections
    fifty, every = precision[0].mean(0), precision.mean((0, 1))
    known = fifty > -1
    return {
        "map50": float(fifty[known].mean()),
        "map50_95": float(every[known].mean()),
        "ap50": [float(v) if k else None for v, k in zip(fifty, known, strict=True)],
        "ap50_95": [float(v) if k else None for v, k in zip(every, known, strict=True)],
    }


def main() -> None:
    cases = []
    for seed, size, classes, grid, step in [
        (1, (96, 80), 3, 0.25, 1 / 512),
        (2, (64, 64), 2, 1, 1 / 8),
        (3, (61, 97), 1, 1e-4, 1e-5),
        (4, (120, 40), 4, 0.1, 1 / 64),
    ]:
        maker = Maker(seed, size, classes, grid, step)
        images = [maker.image(int(maker.random.integers(0, 6)), n % 3) for n in range(8)]
        cases.append({"classes": classes, "want": judged(classes, images), "images": images})
    with open(sys.argv[1], "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")
    print([case["want"] for case in cases])


if __name__ == "__main__":
    main()
