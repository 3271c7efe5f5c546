"""The board detectors: binary pixels in, one dense grid of boxes out.

Sized for two CPU cores: 3x3 convolutions without groups, an early stride of four, ReLU (fuses with
the convolution and quantizes well), and one head at stride 8, because most defects are 24-88 px wide.
"""

from dataclasses import dataclass

import torch
from torch import nn

CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
STRIDE = 8


@dataclass(frozen=True)
class Design:
    """Shape of a detector: stages at stride 8, 16, ... with their channels and residual blocks."""

    inputs: int  # 1: the board; 2: the board and its aligned template
    stem: int  # channels at stride 4
    kernel: int  # of the stem, at least 4
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    # Distances from a cell's centre to a side: 0 to bins-1 cells. 12 reach 88 px, 16 reach 120 px. DeepPCB's
    # boxes go up to 174 x 153 px; 162 of 6,873 exceed 88 px, and with 12 a cell near one side of these does
    # not reach the other.
    bins: int


DESIGNS = {
    # What is wrong in one image is a matter of its surroundings: a third stage widens the view.
    "single": Design(inputs=1, stem=32, kernel=8, widths=(64, 128, 256), blocks=(1, 2, 1), bins=12),
    # What is wrong in a pair is where the two differ.
    "pair": Design(inputs=2, stem=32, kernel=4, widths=(48, 128), blocks=(2, 1), bins=16),
}


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
    """[B,inputs,H,W] float32 in 0..1 -> class logits [B,6,H/8,W/8] and side logits [B,4*bins,H/8,W/8].

    H and W are multiples of the coarsest stage's stride.
    """

    def __init__(self, design: Design):
        super().__init__()
        self.design = design
        self.subtract = design.inputs == 2
        self.stem = Conv(design.inputs, design.stem, design.kernel, stride=4)
        before = (design.stem, *design.widths)
        self.stages = nn.ModuleList(
            nn.Sequential(Conv(i, o, stride=2), *[Residual(o) for _ in range(n)])
            for i, o, n in zip(before[:-1], design.widths, design.blocks, strict=True)
        )
        self.joins = nn.ModuleList(
            Conv(coarse, fine, 1) for fine, coarse in zip(design.widths[:-1], design.widths[1:], strict=True)
        )
        fine = design.widths[0]
        self.classify = nn.Sequential(Conv(fine, fine), nn.Conv2d(fine, len(CLASSES), 1))
        self.regress = nn.Sequential(Conv(fine, fine), nn.Conv2d(fine, 4 * design.bins, 1))
        # A defect covers about one cell in a hundred: start there, or the first steps only unlearn it.
        nn.init.constant_(self.classify[-1].bias, -4.6)
        # Likewise a side starts near the usual 17 px from a cell, about two cells.
        near = -0.5 * (torch.arange(design.bins, dtype=torch.float32) - 2.1).square()
        self.regress[-1].bias.data.copy_(near.repeat(4))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, levels = self.stem(self.contrast(images)), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        for join, finer in zip(reversed(self.joins), reversed(levels[:-1]), strict=True):
            x = finer + nn.functional.interpolate(join(x), scale_factor=2.0, mode="nearest")
        return self.classify(x), self.regress(x)

    def contrast(self, images: torch.Tensor) -> torch.Tensor:
        """A pair becomes the board and its difference from the template: the shortest way to what matters."""
        if not self.subtract:
            return images
        board, template = images.split(1, 1)
        return torch.cat((board, board - template), 1)

    def folded(self) -> "Detector":
        """The same function with `contrast` inside the stem's weights: what is exported."""
        twin = Detector(self.design).eval()
        twin.load_state_dict(self.state_dict())
        if self.subtract:
            weight = twin.stem.conv.weight.data
            weight[:, 0] += weight[:, 1]
            weight[:, 1] *= -1
            twin.subtract = False
        return twin


def grid(height: int, width: int, device: torch.device | None = None) -> torch.Tensor:
    """Centres of the cells of a height x width grid, row by row: [N,2] x,y in cells."""
    ys = torch.arange(height, device=device, dtype=torch.float32) + 0.5
    xs = torch.arange(width, device=device, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack((x.reshape(-1), y.reshape(-1)), 1)


def sides(logits: torch.Tensor) -> torch.Tensor:
    """Side logits [B,4*bins,h,w] -> expected distances [B,4,h*w] in cells: left, top, right, bottom."""
    probability = logits.unflatten(1, (4, -1)).flatten(3).softmax(2)
    bins = probability.shape[2]
    steps = torch.arange(bins, device=logits.device, dtype=logits.dtype).reshape(1, 1, bins, 1)
    return (probability * steps).sum(2)


class Export(nn.Module):
    """The detector as it is shipped: pixels are uint8 [B,inputs,H,W], 0 to 255.

    Outputs are logits: of the classes [B,6,H/8,W/8], and of the distances of a box's left, top, right and
    bottom side from the cell's centre, in 0, 1, 2 ... cells [B,4*bins,H/8,W/8]. They are decoded outside of
    the graph, where only the few cells that score are looked at.
    """

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector.folded()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.detector(images.float() * (1 / 255))
