"""Training loss: classification with soft targets, complete IoU and distribution focal loss."""

import math

import torch
from torch.nn import functional as F

from assign import assign
from network import STRIDE, grid, sides

WEIGHTS = {"cls": 0.5, "iou": 7.5, "dfl": 1.5}


def complete_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """CIoU of matched boxes [K,4] (Zheng et al., 2020): overlap, centre distance, aspect ratio."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    inter = (high - low).clamp(min=0).prod(1)
    size_a, size_b = (a[:, 2:] - a[:, :2]).clamp(min=1e-6), (b[:, 2:] - b[:, :2]).clamp(min=1e-6)
    overlap = inter / (size_a.prod(1) + size_b.prod(1) - inter + 1e-9)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    gap = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    distance = gap.square().sum(1) / (hull.square().sum(1) + 1e-9)
    angle = torch.atan(size_b[:, 0] / size_b[:, 1]) - torch.atan(size_a[:, 0] / size_a[:, 1])
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        weight = aspect / (1 - overlap + aspect + 1e-9)
    return overlap - distance - weight * aspect


def distribution(logits: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """Distribution focal loss (Li et al., 2020): logits [K,4,bins], distance [K,4] in cells -> [K]."""
    distance = distance.clamp(0, logits.shape[2] - 1 - 0.01)
    low = distance.floor()
    share = distance - low
    logp = logits.log_softmax(2)
    at = low.long().unsqueeze(2)
    left, right = logp.gather(2, at).squeeze(2), logp.gather(2, at + 1).squeeze(2)
    return -(left * (1 - share) + right * share).mean(1)


def detection_loss(
    outputs: tuple[torch.Tensor, torch.Tensor],
    truth: torch.Tensor,
    labels: torch.Tensor,
    valid: torch.Tensor,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Loss of a batch. truth [B,M,4] in pixels, labels [B,M], valid [B,M]."""
    classes, regress = outputs
    height, width = classes.shape[2:]
    centres = grid(height, width, classes.device)
    logits = classes.flatten(2).transpose(1, 2)
    near, far = sides(regress).transpose(1, 2).split(2, 2)
    boxes = torch.cat((centres - near, centres + far), 2)
    targets, wanted, learns = assign(
        logits.detach().sigmoid(), boxes.detach(), centres, truth / STRIDE, labels, valid
    )
    total = targets.sum().clamp(min=1.0)
    parts = {"cls": F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / total}
    weight = targets.sum(2)[learns]
    bins = regress.unflatten(1, (4, -1)).flatten(3).permute(0, 3, 1, 2)
    origin = centres.expand_as(near)[learns]
    distance = torch.cat((origin - wanted[learns][:, :2], wanted[learns][:, 2:] - origin), 1)
    parts["iou"] = ((1 - complete_iou(boxes[learns], wanted[learns])) * weight).sum() / total
    parts["dfl"] = (distribution(bins[learns], distance) * weight).sum() / total
    loss = sum(WEIGHTS[name] * part for name, part in parts.items())
    return loss, {name: float(part.detach()) for name, part in parts.items()}
