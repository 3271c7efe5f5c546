"""The single-image board detector: gray pixels in, one dense grid of boxes out.

Sized for two CPU cores: 3x3 convolutions without groups, an early stride of four, ReLU (fuses with
the convolution and quantizes well), and one head at stride 8, because every defect is 24-86 px wide.
"""

import torch
from torch import nn

CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
STRIDE = 8
BINS = 12  # distances 0..11 cells: 88 px from a cell's centre to a side, the widest box is 86 px
CONTRAST = 6.0  # boards are two-level: steep enough to hide grays, shallow enough to keep edges


class Conv(nn.Module):
    """Convolution, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1):
        super().__init__()
        padding = (kernel - stride + 1) // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(Conv(channels, channels), Conv(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class Detector(nn.Module):
    """[B,1,H,W] float32 in 0..1 -> class logits [B,6,H/8,W/8] and side logits [B,4*BINS,H/8,W/8]."""

    def __init__(self, stem: int = 32, fine: int = 64, coarse: int = 128, fine_blocks: int = 2):
        super().__init__()
        self.stem = nn.Sequential(Conv(1, stem, kernel=8, stride=4), Conv(stem, stem))
        self.fine = nn.Sequential(Conv(stem, fine, stride=2), *[Residual(fine) for _ in range(fine_blocks)])
        self.coarse = nn.Sequential(Conv(fine, coarse, stride=2), Residual(coarse), Conv(coarse, fine, 1))
        self.fuse = Conv(fine, fine)
        self.classify = nn.Sequential(Conv(fine, fine), nn.Conv2d(fine, len(CLASSES), 1))
        self.regress = nn.Sequential(Conv(fine, fine), nn.Conv2d(fine, 4 * BINS, 1))
        # A defect covers about one cell in a hundred: start there, or the first steps only unlearn it.
        nn.init.constant_(self.classify[-1].bias, -4.6)
        # Likewise a side starts near the usual 17 px from a cell, about two cells.
        near = -0.5 * (torch.arange(BINS, dtype=torch.float32) - 2.1).square()
        self.regress[-1].bias.data.copy_(near.repeat(4))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.clamp((images - 0.5) * CONTRAST + 0.5, 0.0, 1.0)
        fine = self.fine(self.stem(x))
        coarse = nn.functional.interpolate(self.coarse(fine), scale_factor=2.0, mode="nearest")
        x = self.fuse(fine + coarse)
        return self.classify(x), self.regress(x)


def grid(height: int, width: int, device: torch.device | None = None) -> torch.Tensor:
    """Centres of the cells of a height x width grid, row by row: [N,2] x,y in cells."""
    ys = torch.arange(height, device=device, dtype=torch.float32) + 0.5
    xs = torch.arange(width, device=device, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack((x.reshape(-1), y.reshape(-1)), 1)


def sides(logits: torch.Tensor) -> torch.Tensor:
    """Side logits [B,4*BINS,h,w] -> expected distances [B,4,h*w] in cells: left, top, right, bottom."""
    batch = logits.shape[0]
    probability = logits.reshape(batch, 4, BINS, -1).softmax(2)
    steps = torch.arange(BINS, device=logits.device, dtype=logits.dtype).reshape(1, 1, BINS, 1)
    return (probability * steps).sum(2)


class Export(nn.Module):
    """The detector with its decoding in the graph.

    Output [B,4+6,N]: rows cx, cy, w, h in input pixels, then six class scores after the sigmoid.
    The input size is fixed when the graph is exported, so the grid is a constant in it.
    """

    def __init__(self, detector: Detector, size: int = 640):
        super().__init__()
        self.detector = detector
        self.register_buffer("centres", grid(size // STRIDE, size // STRIDE).t().unsqueeze(0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores, logits = self.detector(images)
        near, far = sides(logits).split(2, 1)
        centre = self.centres + (far - near) * 0.5
        boxes = torch.cat((centre, near + far), 1) * STRIDE
        return torch.cat((boxes, scores.flatten(2).sigmoid()), 1)
