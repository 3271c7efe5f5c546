"""Fit a golden template to an inspected board, nearly as the agent's worker does before a pair inspection.

Tiles of the board are searched for in the template; an affine displacement is fitted to what they say,
each tile weighted by how sharply it says it in each direction, and every tile may then move a little from it.

The worker first searches for the whole board, to 64 px, and accepts up to 24. Here each tile is searched for
by itself, to REACH px: a board that lies farther off is not found, and `mismatch` says so.
"""

import cv2
import numpy as np

TILE = 128  # px, side of a tile
REACH = 12  # px, search in each direction
LOCAL = 2  # px, how far a tile may move from the affine fit
MOST_MISMATCH = 0.2  # the worker's bound, agent/internal/worker/align: above, the template is a stranger
LEAST_CHANCE = 0.02  # the worker's, too: keeps a defect on a nearly bare board from looking like a stranger
STIFF = 0.004  # cost, as a share of a tile's pixels, of moving a pixel from the affine fit


def costs(test: np.ndarray, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of differing pixels of each tile at each shift, [T,2R+1,2R+1] by dy, dx, and tile centres [T,2].

    Both are binary images 0 or 1 of one size. At shift (dx, dy) the pixel (x, y) of the board is compared
    with (x + dx, y + dy) of the template; beyond its border the template repeats its edge.
    """
    height, width = test.shape
    padded = cv2.copyMakeBorder(template, REACH, REACH, REACH, REACH, cv2.BORDER_REPLICATE)
    maps, centres = [], []
    for y in starts(height):
        for x in starts(width):
            tile = test[y : y + TILE, x : x + TILE]
            h, w = tile.shape
            around = padded[y : y + h + 2 * REACH, x : x + w + 2 * REACH]
            squares = cv2.matchTemplate(around.astype(np.float32), tile.astype(np.float32), cv2.TM_SQDIFF)
            maps.append(squares / (h * w))
            centres.append((x + w / 2, y + h / 2))
    return np.maximum(np.array(maps), 0), np.array(centres)


def starts(length: int) -> list[int]:
    """First pixels of tiles that cover a length evenly."""
    if length <= TILE:
        return [0]
    count = -(-length // TILE)
    return [round(k * (length - TILE) / (count - 1)) for k in range(count)]


def minimum(map_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best shift (dx, dy) of a cost map and the curvature of the cost around it [2,2]."""
    y, x = np.unravel_index(int(map_.argmin()), map_.shape)
    y, x = min(max(y, 2), map_.shape[0] - 3), min(max(x, 2), map_.shape[1] - 3)
    c = map_[y - 2 : y + 3, x - 2 : x + 3]
    xx = (c[2, 4] + c[2, 0] - 2 * c[2, 2]) / 4
    yy = (c[4, 2] + c[0, 2] - 2 * c[2, 2]) / 4
    xy = (c[4, 4] + c[0, 0] - c[0, 4] - c[4, 0]) / 16
    values, vectors = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
    curvature = (vectors * values.clip(0)) @ vectors.T
    return np.array([x - REACH, y - REACH], float), curvature


def affine(centres: np.ndarray, shifts: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Robust weighted fit of shift = M [x, y, 1], as M [2,3]."""
    scale = 320.0
    design = np.concatenate(((centres - centres.mean(0)) / scale, np.ones((len(centres), 1))), 1)
    weight = np.ones(len(centres))
    for _ in range(8):
        normal, right = np.eye(6) * 1e-6, np.zeros(6)
        for row, shift, bend, w in zip(design, shifts, curvature, weight, strict=True):
            lever = np.kron(np.eye(2), row)  # [2,6]
            normal += w * lever.T @ bend @ lever
            right += w * lever.T @ bend @ shift
        # Stretch and shear are small: without evidence they are none.
        normal[[0, 1, 3, 4], [0, 1, 3, 4]] += 1e-4
        model = np.linalg.solve(normal, right).reshape(2, 3)
        rest = np.linalg.norm(design @ model.T - shifts, axis=1)
        weight = 1 / (1 + (rest / 1.5) ** 2) ** 2
    result = model.copy()
    result[:, :2] /= scale
    result[:, 2] -= result[:, :2] @ centres.mean(0)
    return result


def displacement(test: np.ndarray, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each tile of the board lies in the template: shifts [T,2] and tile centres [T,2]."""
    maps, centres = costs(test, template)
    found = [minimum(m) for m in maps]
    model = affine(centres, np.array([s for s, _ in found]), np.array([c for _, c in found]))
    expected = centres @ model[:, :2].T + model[:, 2]
    return np.array([local(m, e) for m, e in zip(maps, expected, strict=True)]), centres


def local(map_: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The tile's own best shift near the expected one, which it leaves only for a gain."""
    grid = np.arange(-REACH, REACH + 1)
    dx, dy = np.meshgrid(grid, grid)
    away = (dx - expected[0]) ** 2 + (dy - expected[1]) ** 2
    near = away <= (LOCAL + 0.5) ** 2
    if not near.any():
        return expected
    cost = np.where(near, map_ + STIFF * away, np.inf)
    y, x = np.unravel_index(int(cost.argmin()), cost.shape)
    best = np.array([x - REACH, y - REACH], float)
    # Between the pixels: the parabola through the neighbours, where both are to be had.
    if 0 < x < 2 * REACH and 0 < y < 2 * REACH:
        full = map_ + STIFF * away
        best[0] += vertex(full[y, x - 1], full[y, x], full[y, x + 1])
        best[1] += vertex(full[y - 1, x], full[y, x], full[y + 1, x])
    return best


def vertex(before: float, at: float, after: float) -> float:
    """Offset of a parabola's lowest point from its middle sample, -0.5 to 0.5."""
    bend = before + after - 2 * at
    return 0.0 if bend <= 0 else float(np.clip((before - after) / (2 * bend), -0.5, 0.5))


def fit(test: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The template [H,W] uint8, gray or binary 0 and 255, moved onto the board; binary 0 and 255."""
    height, width = test.shape
    shifts, _ = displacement((test > 127).astype(np.uint8), (template > 127).astype(np.uint8))
    rows, columns = len(starts(height)), len(starts(width))
    mesh = shifts.reshape(rows, columns, 2).astype(np.float32)
    x = sample(np.array(starts(width)) + min(TILE, width) / 2, width)
    y = sample(np.array(starts(height)) + min(TILE, height) / 2, height)
    gx, gy = np.meshgrid(x, y)
    field = cv2.remap(mesh, gx, gy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        template, xs + field[..., 0], ys + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.where(moved > 127, 255, 0).astype(np.uint8)


def mismatch(test: np.ndarray, template: np.ndarray) -> float:
    """Share of pixels that differ between a board and its moved template, over what chance would have.

    Both are binary, 0 and 255. 0 for equal images, about 1 for strangers of the same amounts of copper.
    """
    p, q = float((template == 0).mean()), float((test == 0).mean())
    return float((test != template).mean()) / max(p * (1 - q) + q * (1 - p), LEAST_CHANCE)


def sample(centres: np.ndarray, length: int) -> np.ndarray:
    """Index among tile centres, fractional, of each pixel of a length."""
    at = np.arange(length) + 0.5
    return np.interp(at, centres, np.arange(len(centres))).astype(np.float32)
