"""How golden vectors are written: JSON, compressed, with arrays as the base64 of float32, little endian."""

import base64
import gzip
import json

import numpy as np


def pack(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def write(path: str, cases: list) -> None:
    """Write the same bytes for the same cases: a compressed file would tell when it was made."""
    with open(path, "wb") as file:
        file.write(gzip.compress(json.dumps(cases, separators=(",", ":")).encode(), mtime=0))
    found = sum(len(c["found"]) for c in cases)
    print(f"{path}: {len(cases)} cases, {found} findings")
