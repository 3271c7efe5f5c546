"""Write what `sightline-agent eval` must say of images as a whole and of the pixels of their maps.

    python evaluation.py ../../agent/internal/eval/testdata/whole.json

AUROC, F-scores, accuracy and confusion are scikit-learn's. AUPRO is computed here with numpy and scipy from
its definition (Bergmann et al., The MVTec Anomaly Detection Dataset, 2021): at each threshold the mean, over
the 8-connected regions of all masks, of the share of a region that reaches it, over the share of all other
pixels that do; the area under that curve up to a false positive rate of 0.3, over 0.3. Levels of maps are
uint16 as the worker sends them, 32768 at the threshold. Each pixel of a mask is compared with the place of
the map that its middle lies in.
"""

import base64
import json
import sys

import numpy as np
from scipy import ndimage
from sklearn import metrics

LIMIT = 0.3
THRESHOLD = 32768
NONE = -1


def best_f(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The highest F-score of any threshold, and the highest threshold that gives it."""
    precision, recall, thresholds = metrics.precision_recall_curve(truth, scores)
    f = (2 * precision * recall / np.maximum(precision + recall, 1e-300))[:-1]
    return float(f.max()), float(thresholds[np.flatnonzero(f >= f.max() - 1e-12)[-1]])


def images(rng: np.random.Generator, count: int, step: float, shift: float) -> dict:
    """Scores of images, coarse ones with ties, and which are defective."""
    defective = rng.random(count) < 0.4
    scores = np.round(rng.normal(0.4 + shift * defective, 0.2) / step) * step
    scores = scores.astype(np.float32).astype(float)
    want = {}
    if 0 < defective.sum() < count:
        want["auroc"] = metrics.roc_auc_score(defective, scores)
    want["best_f"], want["threshold"] = best_f(defective, scores)
    return {"scores": scores.tolist(), "defective": defective.tolist(), "want": want}


def classes(rng: np.random.Generator, count: int, kinds: int, right: float) -> dict:
    """What images show, and what they are taken for; -1 for nothing."""
    truth = rng.integers(0, kinds - 1, count)  # the last one is never shown
    taken = np.where(rng.random(count) < right, truth, rng.integers(NONE, kinds, count))
    known = list(range(kinds))
    precision, recall, f, support = metrics.precision_recall_fscore_support(
        truth, taken, labels=known, zero_division=0
    )
    met = [k for k in known if (truth == k).any() or (taken == k).any()]
    table = metrics.confusion_matrix(truth, taken, labels=[*known, NONE])[:kinds]
    return {
        "classes": kinds,
        "truth": truth.tolist(),
        "taken": taken.tolist(),
        "want": {
            "accuracy": metrics.accuracy_score(truth, taken),
            "f_macro": metrics.f1_score(truth, taken, labels=met, average="macro", zero_division=0),
            "confusion": table.tolist(),
            "met": met,
            "precision": precision.tolist(),
            "recall": recall.tolist(),
            "f": f.tolist(),
            "support": support.tolist(),
        },
    }


def blobs(rng: np.random.Generator, width: int, height: int, count: int) -> np.ndarray:
    """A mask of discs, some of which touch, and some single pixels, some of them at a corner of another."""
    mask = np.zeros((height, width), bool)
    y, x = np.mgrid[:height, :width]
    for _ in range(count):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.5, min(width, height) / 5)
        mask |= (x - cx) ** 2 + (y - cy) ** 2 < r * r
    for _ in range(count):
        at = rng.integers(0, [height - 1, width - 1])
        mask[at[0], at[1]] = mask[at[0] + 1, at[1] + 1] = True
    return mask


def looked_up(image: dict, levels: np.ndarray) -> np.ndarray:
    """The map's level at each pixel of the frame."""
    (width, height), (wide, high), box = image["frame"], image["map"], image["box"]
    across = np.floor((np.arange(width) + 0.5 - box[0]) / (box[2] - box[0]) * wide).astype(int)
    down = np.floor((np.arange(height) + 0.5 - box[1]) / (box[3] - box[1]) * high).astype(int)
    return levels[down.clip(0, high - 1)][:, across.clip(0, wide - 1)]


def aupro(maps: list[np.ndarray], masks: list[np.ndarray]) -> float:
    """From the definition, one threshold after the other."""
    usual = np.concatenate([m[~k] for m, k in zip(maps, masks, strict=True)])
    regions = []
    for levels, mask in zip(maps, masks, strict=True):
        numbers, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [levels[numbers == n + 1] for n in range(count)]
    rates, overlaps = [0.0], [0.0]
    for threshold in sorted(set(np.concatenate([m.ravel() for m in maps]).tolist()), reverse=True):
        rates.append((usual >= threshold).mean())
        overlaps.append(np.mean([(r >= threshold).mean() for r in regions]))
    rates, overlaps = np.array(rates), np.array(overlaps)
    inside = rates <= LIMIT
    x = np.append(rates[inside], LIMIT)
    y = np.append(overlaps[inside], np.interp(LIMIT, rates, overlaps))
    return float(np.trapezoid(y, x) / LIMIT)


def pixels(rng: np.random.Generator, size: tuple, grid: tuple, border: int, noise: float, step: int) -> dict:
    """Maps and masks of some images. A border, in pixels of the frame, is part of the map left and right."""
    all_images, maps, masks = [], [], []
    box = [-border, 0, size[0] + border, size[1]]
    for n in range(6):
        mask = blobs(rng, *size, 0 if n % 3 == 2 else int(rng.integers(1, 5)))
        image = {"frame": size, "map": grid, "box": box}
        y, x = np.mgrid[: grid[1], : grid[0]]
        at_x = np.clip((x + 0.5) / grid[0] * (box[2] - box[0]) + box[0], 0, size[0] - 1).astype(int)
        at_y = np.clip((y + 0.5) / grid[1] * size[1], 0, size[1] - 1).astype(int)
        values = ndimage.gaussian_filter(mask[at_y, at_x].astype(float), 0.7) + rng.normal(
            0, noise, at_x.shape
        )
        levels = np.clip(20000 + values * 20000, 0, 65535).astype(int) // step * step
        maps.append(looked_up(image, levels))
        masks.append(mask)
        image["levels"] = base64.b64encode(levels.astype("<u2").tobytes()).decode()
        if mask.any():
            image["mask"] = base64.b64encode(np.packbits(mask).tobytes()).decode()
        all_images.append(image)
    flat, truth = np.concatenate([m.ravel() for m in maps]), np.concatenate([m.ravel() for m in masks])
    best, level = best_f(truth, flat)
    return {
        "images": all_images,
        "want": {
            "best_f": best,
            "best_level": int(level),
            "auroc": metrics.roc_auc_score(truth, flat),
            "aupro": aupro(maps, masks),
            "f": metrics.f1_score(truth, flat >= THRESHOLD),
            "regions": int(sum(ndimage.label(m, np.ones((3, 3)))[1] for m in masks)),
        },
    }


def main() -> None:
    rng = np.random.default_rng(31)
    cases = {
        "images": [
            images(rng, 40, 1e-4, 0.3),
            images(rng, 60, 0.1, 0.2),
            images(rng, 30, 0.25, 0.0),
            images(rng, 25, 1e-3, 0.9),
        ],
        "classes": [classes(rng, 80, 5, 0.8), classes(rng, 30, 3, 0.2), classes(rng, 12, 8, 1.0)],
        "pixels": [
            pixels(rng, (40, 30), (40, 30), 0, 0.3, 1),
            pixels(rng, (60, 44), (20, 16), 0, 0.2, 1),
            pixels(rng, (33, 47), (24, 18), 7, 0.25, 512),
            pixels(rng, (40, 30), (64, 48), 0, 0.9, 8192),
        ],
    }
    with open(sys.argv[1], "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")
    print({k: [c["want"] for c in v] for k, v in cases.items() if k != "classes"})


if __name__ == "__main__":
    main()
