"""Task-aligned assignment: which grid cells learn which box.

A cell is a candidate when its centre lies in the box; among candidates the TOP cells with the largest
score^ALPHA * IoU^BETA learn it, with a soft target that is one only for the best cell of a perfect box.
"""

import torch

TOP = 10
ALPHA = 0.5
BETA = 6.0


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes x1,y1,x2,y2 that broadcast against each other."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    return inter / (area_a + area_b - inter + 1e-9)


@torch.no_grad()
def assign(
    scores: torch.Tensor,
    boxes: torch.Tensor,
    centres: torch.Tensor,
    truth: torch.Tensor,
    labels: torch.Tensor,
    valid: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Assign cells to boxes, all in the same unit.

    scores [B,N,C] in 0..1, boxes [B,N,4], centres [N,2], truth [B,M,4], labels [B,M] int64,
    valid [B,M] bool (padding is False). Returns soft class targets [B,N,C], box targets [B,N,4]
    and the mask of cells that learn a box [B,N].
    """
    batch, cells, classes = scores.shape
    most = truth.shape[1]
    if most == 0:
        return torch.zeros_like(scores), torch.zeros_like(boxes), valid.new_zeros(batch, cells)
    overlap = iou(truth.unsqueeze(2), boxes.unsqueeze(1))  # [B,M,N]
    index = labels.unsqueeze(1).expand(batch, cells, most)
    score = scores.gather(2, index).transpose(1, 2)
    inside = (centres > truth[..., None, :2]) & (centres < truth[..., None, 2:])
    candidate = inside.all(-1) & valid.unsqueeze(2)
    metric = score.pow(ALPHA) * overlap.pow(BETA) * candidate
    # A cell with no overlap yet still beats a cell outside: the first steps need somebody to learn.
    rank = torch.where(candidate, metric + 1e-12, metric)
    chosen = torch.zeros_like(candidate)
    chosen.scatter_(2, rank.topk(min(TOP, cells), 2).indices, True)
    chosen &= candidate
    owner = (overlap + 1e-9).masked_fill(~chosen, -1).argmax(1)  # of two boxes, the better fit
    learns = chosen.any(1)
    chosen &= torch.arange(most, device=owner.device).view(1, -1, 1) == owner.unsqueeze(1)
    target_boxes = truth.gather(1, owner.unsqueeze(2).expand(batch, cells, 4))
    quality = _quality(metric * chosen, overlap * chosen)
    owner_labels = labels.gather(1, owner)
    targets = torch.zeros_like(scores)
    targets.scatter_(2, owner_labels.unsqueeze(2), (quality * learns).unsqueeze(2))
    return targets, target_boxes, learns


def _quality(metric: torch.Tensor, overlap: torch.Tensor) -> torch.Tensor:
    """Soft target [B,N]: each box's metrics scaled so that its best cell gets its best overlap."""
    best_metric = metric.amax(2, keepdim=True)
    best_overlap = overlap.amax(2, keepdim=True)
    return (metric / (best_metric + 1e-12) * best_overlap).amax(1)
