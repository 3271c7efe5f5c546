"""Boards in the deeppcb layout and their split.

Labels in files are inclusive pixel indices x1 y1 x2 y2 class(1..6), with blanks or commas between. In memory
a box is its outline, half-open: x2 and y2 are one more than in the file. Mirroring is then W - x, and areas
are true.

python boards.py --data DIR --part block --out DIR    links a part into a folder, for `sightline-agent eval`
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

import align

SIDE = 640  # px of a board, which is what the models take
HELD_OUT_GROUP = "50600"
BLOCK_SHARE = 0.13  # of each other group, its last ids in one block
GAP = 4  # ids left out beside the block: neighbouring ids overlap
LEAST_GROUP = 30  # ids; smaller groups are split together
RUN = 100  # ids of those, about, of which one block is cut


@dataclass(frozen=True)
class Board:
    """One inspected board: gray pixels [H,W] uint8, its template or None, boxes [n,4], labels [n]."""

    id: str
    test: np.ndarray
    template: np.ndarray | None
    boxes: np.ndarray
    labels: np.ndarray

    def prepared(self) -> "Board":
        """The board as a detector sees it: 0 or 255, its template moved onto it."""
        if self.template is not None and self.template.shape != self.test.shape:
            raise ValueError(f"{self.id}: its template is {px(self.template)}, the board {px(self.test)}")
        test = binary(self.test)
        template = None if self.template is None else align.fit(test, self.template)
        return replace(self, test=test, template=template)

    def planes(self, inputs: int) -> np.ndarray:
        """What a detector of so many inputs gets: uint8 [inputs,H,W]."""
        if inputs == 1:
            return self.test[None]
        if self.template is None:
            raise ValueError(f"{self.id}: a pair needs its template, images/{self.id}_temp.jpg")
        return np.stack((self.test, self.template))


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [n,4] float32 as outlines and labels [n] int64 from 0. Fails naming file and line."""
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            x1, y1, x2, y2, kind = (int(word) for word in line.replace(",", " ").split())
        except ValueError as err:
            raise ValueError(f"{path}:{number}: want 'x1 y1 x2 y2 class', got {line!r}") from err
        if not (x1 <= x2 and y1 <= y2 and 1 <= kind <= 6):
            raise ValueError(f"{path}:{number}: box or class out of range: {line!r}")
        rows.append((x1, y1, x2 + 1, y2 + 1, kind - 1))
    table = np.array(rows, np.float32).reshape(-1, 5)
    return table[:, :4], table[:, 4].astype(np.int64)


def read_gray(path: Path) -> np.ndarray:
    """Decode an image as gray uint8 [H,W]."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f"{path}: not a readable image")
    return image


def board_ids(root: Path) -> list[str]:
    """Ids of all labelled boards below root, sorted."""
    ids = sorted(path.stem for path in (root / "labels").glob("*.txt"))
    if not ids:
        raise FileNotFoundError(f"{root}: no labels/*.txt: is this a folder in the deeppcb layout?")
    return ids


def load_board(root: Path, name: str) -> Board:
    """Read one board; the template is optional."""
    boxes, labels = read_labels(root / "labels" / f"{name}.txt")
    template = root / "images" / f"{name}_temp.jpg"
    return Board(
        name,
        read_gray(root / "images" / f"{name}_test.jpg"),
        read_gray(template) if template.exists() else None,
        boxes,
        labels,
    )


def load_boards(root: Path, ids: list[str]) -> list[Board]:
    """Read boards in the order of ids and prepare them."""
    with ThreadPoolExecutor(2) as pool:
        boards = pool.map(lambda name: load_board(root, name).prepared(), ids)
        return list(tqdm(boards, total=len(ids), unit="board", desc="boards", mininterval=2, leave=False))


def sized(boards: list[Board], height: int, width: int) -> None:
    """Refuses boards of another size than a model takes, by name."""
    others = [f"{b.id} ({px(b.test)})" for b in boards if b.test.shape != (height, width)]
    if others:
        raise SystemExit(
            f"the model takes boards of {width} x {height} px, but these are others: {names(others)}; "
            "scale or cut each board, its template and its labels alike"
        )


def px(image: np.ndarray) -> str:
    """An image's size for reading."""
    return f"{image.shape[1]} x {image.shape[0]} px"


def names(ids: list[str], most: int = 10) -> str:
    """Ids for reading, not too many."""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more


def binary(image: np.ndarray) -> np.ndarray:
    """Gray below 128 is copper, 0; the rest is bare board, 255."""
    return np.where(image > 127, np.uint8(255), np.uint8(0))


def split(ids: list[str]) -> dict[str, list[str]]:
    """Split ids into `train`, `block` and `group`.

    The first five characters of an id name its group. `group` is one whole board group nobody trains on.
    `block` is the last BLOCK_SHARE of each other group; GAP ids before it belong to nobody, since
    neighbouring ids show overlapping parts of a board. Ids whose groups are smaller than LEAST_GROUP are
    taken together and cut into runs, each split likewise, with as many ids left out after its block.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(ids):
        groups.setdefault(name[:5], []).append(name)
    parts: dict[str, list[str]] = {"train": [], "block": [], "group": groups.pop(HELD_OUT_GROUP, [])}
    rest = [name for members in groups.values() if len(members) < LEAST_GROUP for name in members]
    large = [members for members in groups.values() if len(members) >= LEAST_GROUP]
    for members in [*large, *runs(rest)]:
        start = len(members) - round(len(members) * BLOCK_SHARE)
        parts["train"] += members[: max(start - GAP, 0)]
        parts["block"] += members[start:]
    return parts


def runs(ids: list[str]) -> list[list[str]]:
    """Contiguous runs of about RUN ids, evenly long, GAP ids between them left out."""
    count = max(round(len(ids) / RUN), 1)
    cuts = [round(k * len(ids) / count) for k in range(count + 1)]
    return [
        ids[low : high - (GAP if high < len(ids) else 0)]
        for low, high in zip(cuts[:-1], cuts[1:], strict=True)
    ]


def counts(ids: list[str]) -> str:
    """How many boards each part has, and how many none, for reading."""
    parts = split(ids)
    left = len(ids) - sum(len(part) for part in parts.values())
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    return f"{len(ids)} boards: {sizes}, left out {left}"


def part_ids(root: Path, part: str) -> list[str]:
    """Ids of a part of the folder's boards, or of `all`. Refuses a part without boards."""
    ids = board_ids(root)
    chosen = ids if part == "all" else split(ids)[part]
    if not chosen:
        raise SystemExit(
            f"{root}: no boards in part {part} ({counts(ids)}); --part all takes every board there"
        )
    return chosen


def spread(ids: list[str], limit: int | None) -> list[str]:
    """At most so many ids, at even distances."""
    if not limit or limit >= len(ids):
        return ids
    return [ids[k * len(ids) // limit] for k in range(limit)]


def link(root: Path, part: str, out: Path) -> int:
    """Link images, templates and labels of a part into a new folder of the same layout; how many boards."""
    ids = split(board_ids(root))[part]
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True)
    for name in ids:
        for file in (f"images/{name}_test.jpg", f"images/{name}_temp.jpg", f"labels/{name}.txt"):
            if (root / file).exists():
                (out / file).symlink_to((root / file).resolve())
    return len(ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="boards in the deeppcb layout")
    parser.add_argument("--part", choices=("train", "block", "group"), default="block")
    parser.add_argument("--out", required=True, help="folder to make")
    args = parser.parse_args()
    if Path(args.out).exists():
        raise SystemExit(f"{args.out} is there already: name a folder to make")
    print(f"{args.out}: {link(Path(args.data), args.part, Path(args.out))} boards of part {args.part}")


if __name__ == "__main__":
    main()
