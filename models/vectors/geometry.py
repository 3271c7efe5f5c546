"""Where a frame lies on a model's input."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Geometry:
    """Where a frame lies on the input, in pixels; YOLO's letterbox, or filled."""

    frame: tuple[int, int]  # width, height
    input: tuple[int, int]
    stretch: bool = False

    def __post_init__(self):
        (fw, fh), (w, h) = self.frame, self.input
        gain = min(w / fw, h / fh)
        self.width, self.height = (w, h) if self.stretch else (round(fw * gain), round(fh * gain))
        self.left = max(round((w - self.width) / 2 - 0.1), 0)
        self.top = max(round((h - self.height) / 2 - 0.1), 0)
        self.scale = np.array([fw / self.width, fh / self.height])

    def to_frame(self, points):
        """Maps points [..., 2] of the input to the frame, unclipped."""
        return (np.asarray(points, np.float64) - [self.left, self.top]) * self.scale

    def clip(self, points):
        return np.clip(points, 0, self.frame)

    def box(self, box):
        """Maps x1, y1, x2, y2 to the frame, clipped; None beside it."""
        mapped = self.clip(self.to_frame(np.reshape(box, (2, 2))))
        return None if (mapped[1] <= mapped[0]).any() else mapped.ravel()

    def described(self):
        return {
            "frame": self.frame,
            "left": self.left,
            "top": self.top,
            "width": self.width,
            "height": self.height,
        }
