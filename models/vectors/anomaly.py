"""Write the golden vectors of the anomaly decoder: maps and scores, and what must be found in them.

    python anomaly.py ../../agent/internal/worker/decode/testdata/anomaly.json.gz

A number x of a map or an image becomes the score clip((x - threshold) / (max - min) + 0.5, 0, 1): the
min-max normalization as anomalib documents it, here in float64. Without a number of the image it is the
highest of the map, as far as the frame covers the input. An image below score_floor has no finding. Else the
8-connected parts of the map that score at least 0.5 are findings (OpenCV's connectedComponents), the one with
the highest number first, of equal ones the larger, then the first in reading order. A finding's score is that
of its highest number, but not above the image's, and the first has the image's. Without a part the frame is
the finding.
"""

import sys

import cv2
import numpy as np

from pack import pack, write

CASES = [
    # name, input, map, frame, with a number of the image, normalized, floor, limit
    ("as large as the input", (96, 96), (96, 96), (96, 96), True, False, 0.01, 100),
    ("a quarter of the input, stretched", (256, 192), (64, 48), (640, 480), True, False, 0.01, 100),
    ("letterboxed", (256, 256), (64, 64), (1920, 1080), True, False, 0.01, 100),
    ("letterboxed, without a score", (224, 224), (56, 56), (480, 1000), False, False, 0.01, 100),
    ("normalized in the graph", (256, 256), (64, 64), (2048, 2048), True, True, 0.01, 100),
    ("normalized, without a score", (64, 64), (64, 64), (333, 111), False, True, 0.01, 100),
    ("the strongest three", (128, 128), (64, 64), (1280, 720), True, False, 0.01, 3),
    ("nothing unusual", (64, 64), (32, 32), (640, 480), True, False, 0.01, 100),
    ("nothing unusual, below a floor", (64, 64), (32, 32), (640, 480), False, False, 0.45, 100),
    ("a high floor", (128, 128), (64, 64), (800, 600), True, False, 0.45, 100),
]


def letterbox(frame: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width, height of a frame that is scaled evenly and centred."""
    ratio = min(size[0] / frame[0], size[1] / frame[1])
    width, height = round(frame[0] * ratio), round(frame[1] * ratio)
    return (size[0] - width) // 2, (size[1] - height) // 2, width, height


def surface(
    rng: np.random.Generator, size: tuple[int, int], thresholds: list[float], spread: float
) -> np.ndarray:
    """Smooth numbers below the threshold with some hills over it, in steps that float32 holds exactly."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, size[::-1]), (0, 0), 1.2)
    rough = rng.uniform(0.05, 0.13)
    values = thresholds[1] + spread * (noise / noise.std() * rough - 0.3)
    ys, xs = np.mgrid[: size[1], : size[0]]
    for _ in range(rng.integers(0, 7)):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(1, 7)
        hill = np.exp(-((xs - x) ** 2 + (ys - y) ** 2 * rng.uniform(0.3, 2)) / r**2)
        values += spread * hill * rng.uniform(0.2, 0.9)
    return values


def found_in(values, score, thresholds, spread, size, geometry, frame, floor):
    """All findings, best first, boxes in frame pixels."""
    high, wide = values.shape
    across, down = size[0] / wide, size[1] / high
    left, top, width, height = geometry
    middle_x, middle_y = (np.arange(wide) + 0.5) * across, (np.arange(high) + 0.5) * down
    inside = ((middle_y >= top) & (middle_y < top + height))[:, None] & (
        (middle_x >= left) & (middle_x < left + width)
    )[None, :]
    if score is None:
        score = values[inside].max()
    image = np.clip((score - thresholds[0]) / spread + 0.5, 0, 1)
    if image < floor:
        return []
    scores = np.clip((values - thresholds[1]) / spread + 0.5, 0, 1)
    count, labels = cv2.connectedComponents(((scores >= 0.5) & inside).astype(np.uint8), connectivity=8)
    parts = []
    for k in range(1, count):
        ys, xs = np.nonzero(labels == k)
        parts.append((-values[ys, xs].max(), -len(xs), ys[0], xs[0], ys, xs))
    if not parts:
        return [{"score": float(image), "box": [0, 0, *frame], "area": 0}]
    found = []
    for n, (_, _, _, _, ys, xs) in enumerate(sorted(parts, key=lambda p: p[:4])):
        corners = np.array(
            [xs.min() * across, ys.min() * down, (xs.max() + 1) * across, (ys.max() + 1) * down]
        )
        place = (corners - [left, top, left, top]) * ([frame[0] / width, frame[1] / height] * 2)
        own = min(scores[ys, xs].max(), image)
        found.append(
            {
                "score": float(own if n else image),
                "box": np.clip(place, 0, [*frame, *frame]).tolist(),
                "area": float(len(xs) * across * down * frame[0] / width * frame[1] / height),
            }
        )
    return found


def case(rng: np.random.Generator, name, size, heat, frame, scored, normalized, floor, limit) -> dict:
    thresholds, low, high = [float(v) for v in rng.uniform(18, 25, 2)], 2.5, rng.uniform(40, 60)
    if normalized:
        thresholds, low, high = [0.5, 0.5], 0.0, 1.0
    values = surface(rng, heat, thresholds, high - low)
    if "nothing" in name:
        values = np.minimum(values, thresholds[1] - 0.2 * (high - low))
    if normalized:
        values = np.clip(values, 0, 1)
    steps = 512 if normalized else 16
    values = (np.round(values * steps) / steps).astype(np.float32)
    score = np.float32(values.max() * rng.uniform(0.7, 1.05)) if scored else None
    if normalized and scored:
        score = np.clip(score, 0, 1)
    geometry = letterbox(frame, size) if "letterbox" in name else (0, 0, *size)
    exact = None if score is None else float(score)
    found = found_in(values.astype(np.float64), exact, thresholds, high - low, size, geometry, frame, floor)
    return {
        "name": name,
        "input": size,
        "map": heat,
        "frame": frame,
        "geometry": geometry,
        "normalized": normalized,
        "thresholds": thresholds,
        "range": [low, high],
        "floor": floor,
        "limit": limit,
        "values": pack(values),
        "score": exact,
        "cut": max(0, len(found) - limit),
        "found": found[:limit],
    }


def main() -> None:
    rng = np.random.default_rng(21)
    write(sys.argv[1], [case(rng, *settings) for settings in CASES for _ in range(2)])


if __name__ == "__main__":
    main()
