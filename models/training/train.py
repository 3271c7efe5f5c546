"""Train the detector on crops; stop and resume at will.

python train.py --data DIR --run runs/first --steps 8000
python train.py --data DIR --sim SIMDIR --run runs/first --steps 8000 --resume
"""

import argparse
import math
import os
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from boards import board_ids, load_boards, split
from dataset import Crops, collate
from loss import detection_loss
from network import Detector

EMA_DECAY = 0.998
WARM_UP = 150  # steps
SAVE_SECONDS = 90


def rate(step: int, steps: int, peak: float) -> float:
    """Learning rate: linear warm-up, then half a cosine down to a hundredth of the peak."""
    if step < WARM_UP:
        return peak * (step + 1) / WARM_UP
    done = min((step - WARM_UP) / max(steps - WARM_UP, 1), 1.0)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def follow(average: Detector, model: Detector, step: int) -> None:
    """Move the average towards the model; faster in the beginning, when the model is still noise."""
    decay = min(EMA_DECAY, (1 + step) / (20 + step))
    for slow, fast in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if slow.dtype.is_floating_point:
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)


def optimizer_for(model: Detector, peak: float) -> torch.optim.Optimizer:
    """AdamW; weight decay on convolutions only."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak)


def save(path: Path, **state) -> None:
    """Write a checkpoint beside its name and rename it, so that a stop leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def loader(args: argparse.Namespace, start: int) -> DataLoader:
    """Batches from step `start` to the end."""
    root = Path(args.data)
    boards = load_boards(root, split(board_ids(root))["train"])
    extra = []
    if args.sim:
        extra = load_boards(Path(args.sim), board_ids(Path(args.sim)))
    crops = Crops(boards, args.steps * args.batch, args.size, args.seed, extra, args.sim_share, args.mosaic)
    batches = [range(k * args.batch, (k + 1) * args.batch) for k in range(start, args.steps)]
    return DataLoader(
        crops,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=args.workers,
        prefetch_factor=6 if args.workers else None,
    )


def train(args: argparse.Namespace) -> None:
    """Run from the start, or from the run's checkpoint with --resume."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    model = Detector().to(memory_format=torch.channels_last)
    average = Detector()
    average.load_state_dict(model.state_dict())
    optimizer = optimizer_for(model, args.rate)
    path, start = Path(args.run) / "last.pt", 0
    if args.resume:
        state = torch.load(path, weights_only=True)
        start = state["step"]
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
    model.train()
    saved, shown = time.monotonic(), {}
    bar = tqdm(loader(args, start), initial=start, total=args.steps, unit="step", mininterval=5)
    for step, (images, truth, labels, valid) in enumerate(bar, start):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, args.steps, args.rate)
        pixels = images.float().div_(255).contiguous(memory_format=torch.channels_last)
        loss, parts = detection_loss(model(pixels), truth, labels, valid)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        follow(average, model, step)
        for name, value in parts.items():
            shown[name] = 0.98 * shown.get(name, value) + 0.02 * value
        bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)
        if time.monotonic() - saved > SAVE_SECONDS or step + 1 == args.steps:
            saved = time.monotonic()
            save(
                path,
                step=step + 1,
                model=model.state_dict(),
                average=average.state_dict(),
                optimizer=optimizer.state_dict(),
            )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="boards in the deeppcb layout")
    parser.add_argument("--sim", help="simulated boards in the same layout, mixed in")
    parser.add_argument("--sim-share", type=float, default=0.25, help="share of crops from --sim")
    parser.add_argument("--run", default="runs/first", help="folder of the checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue the run's checkpoint")
    parser.add_argument("--steps", type=int, default=8000, help="steps in all; may differ on resume")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=256, help="side of a crop, px")
    parser.add_argument("--mosaic", type=float, default=0.5, help="share of crops that are mosaics")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that make crops")
    parser.add_argument("--threads", type=int, default=2, help="threads of the network")
    return parser.parse_args()


if __name__ == "__main__":
    train(arguments())
