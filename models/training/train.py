"""Train a detector on crops; stop and resume at will.

python train.py --data DIR --sim SIMDIR --design pair --run runs/pair
python train.py --data DIR --sim SIMDIR --design pair --run runs/pair --resume
"""

import argparse
import contextlib
import json
import math
import os
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from boards import board_ids, load_boards, split
from dataset import Crops, collate
from evaluate import look, summary
from loss import detection_loss
from muon import Muon
from network import DESIGNS, Detector

EMA_DECAY = 0.9985
WARM_UP = 300  # steps
SAVE_SECONDS = 90
LOG_EVERY = 100  # steps


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


def optimizers_for(model: Detector, peak: float) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions, AdamW for norms, biases and the last layers; decay on convolutions only."""
    last = {id(model.classify[-1].weight), id(model.regress[-1].weight)}
    inner = [p for p in model.parameters() if p.ndim > 1 and id(p) not in last]
    heads = [p for p in model.parameters() if id(p) in last]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": heads, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return [Muon(inner, lr=peak, weight_decay=0.01), torch.optim.AdamW(groups, lr=peak)]


def save(path: Path, **state) -> None:
    """Write a checkpoint beside its name and rename it, so that a stop leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def loader(args: argparse.Namespace, start: int) -> DataLoader:
    """Batches from step `start` to the end."""
    root = Path(args.data)
    parts = split(board_ids(root))
    boards = load_boards(root, board_ids(root) if args.everything else parts["train"])
    extra = []
    if args.sim:
        extra = load_boards(Path(args.sim), board_ids(Path(args.sim)))
    crops = Crops(
        boards,
        args.steps * args.batch,
        args.size,
        args.seed,
        inputs=DESIGNS[args.design].inputs,
        extra=extra,
        extra_share=args.sim_share,
        mosaic_share=args.mosaic,
    )
    batches = [range(k * args.batch, (k + 1) * args.batch) for k in range(start, args.steps)]
    return DataLoader(
        crops,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=args.workers,
        prefetch_factor=6 if args.workers else None,
    )


def place() -> tuple[torch.device, torch.dtype | None]:
    """Where to train, and the short float to multiply in, if any: a GPU, or a CPU with bf16 in hardware."""
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    return torch.device("cpu"), torch.bfloat16 if fast else None


def precision(device: torch.device, short: torch.dtype | None):
    """Autocast to the short float, or nothing."""
    return contextlib.nullcontext() if short is None else torch.autocast(device.type, dtype=short)


class Journal:
    """The run's log.jsonl: losses averaged over LOG_EVERY steps, and validations."""

    def __init__(self, path: Path, resumed_at: int):
        self.path = path
        lines = path.read_text().splitlines() if resumed_at and path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= resumed_at]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in kept))

    def write(self, **record) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def train(args: argparse.Namespace) -> None:
    """Run from the start, or from the run's checkpoint with --resume."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device, short = place()
    design = DESIGNS[args.design]
    model = Detector(design).to(device, memory_format=torch.channels_last)
    average = Detector(design).to(device)
    average.load_state_dict(model.state_dict())
    optimizers = optimizers_for(model, args.rate)
    path, start = Path(args.run) / "last.pt", 0
    if args.resume:
        state = torch.load(path, weights_only=True, map_location=device)
        if state["design"] != args.design:
            raise SystemExit(f"{path} holds a detector of design {state['design']}, not {args.design}")
        start = state["step"]
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, past in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(past)
    journal = Journal(Path(args.run) / "log.jsonl", start)
    checks = [] if args.everything else validation(args)
    print(f"training {args.design} on {device}, {short or 'float32'}, from step {start} of {args.steps}")
    model.train()
    saved, shown = time.monotonic(), {}
    bar = tqdm(loader(args, start), initial=start, total=args.steps, unit="step", mininterval=5)
    for step, (images, truth, labels, valid) in enumerate(bar, start):
        for group in (g for optimizer in optimizers for g in optimizer.param_groups):
            group["lr"] = rate(step, args.steps, args.rate)
        pixels = images.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
        with precision(device, short):
            outputs = model(pixels)
        outputs = tuple(o.float() for o in outputs)
        loss, parts = detection_loss(outputs, truth.to(device), labels.to(device), valid.to(device))
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        for optimizer in optimizers:
            optimizer.step()
        follow(average, model, step)
        for name, value in parts.items():
            shown[name] = 0.98 * shown.get(name, value) + 0.02 * value
        bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)
        done = step + 1
        if done % LOG_EVERY == 0:
            journal.write(step=done, rate=rate(step, args.steps, args.rate), **shown)
        if checks and (done % args.validate == 0 or done == args.steps):
            journal.write(step=done, validation=validate(average, checks))
        if time.monotonic() - saved > SAVE_SECONDS or done == args.steps:
            saved = time.monotonic()
            save(
                path,
                step=done,
                design=args.design,
                model=model.state_dict(),
                average=average.state_dict(),
                optimizers=[o.state_dict() for o in optimizers],
            )


def validation(args: argparse.Namespace) -> list:
    """The boards of the validation block."""
    root = Path(args.data)
    return load_boards(root, split(board_ids(root))["block"])


def validate(average: Detector, boards: list) -> dict[str, float]:
    """The averaged weights on the validation block, for the curve; nothing is chosen by it."""
    result = summary(look(average, boards), None)
    return {key: round(result[key], 5) for key in ("map_iou33", "f_iou33", "map50", "map50_95")}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="boards in the deeppcb layout")
    parser.add_argument("--sim", help="simulated boards in the same layout, mixed in")
    parser.add_argument("--sim-share", type=float, default=0.25, help="share of crops from --sim")
    parser.add_argument("--design", choices=DESIGNS, default="pair", help="shape of the detector")
    parser.add_argument("--everything", action="store_true", help="train on the validation boards, too")
    parser.add_argument("--run", default="runs/first", help="folder of the checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue the run's checkpoint")
    parser.add_argument("--steps", type=int, default=14000, help="steps in all; may differ on resume")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--validate", type=int, default=2000, help="steps between validations")
    parser.add_argument("--size", type=int, default=256, help="side of a crop, px")
    parser.add_argument("--mosaic", type=float, default=0.5, help="share of crops that are mosaics")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that make crops")
    parser.add_argument("--threads", type=int, default=2, help="threads of the network")
    return parser.parse_args()


if __name__ == "__main__":
    train(arguments())
