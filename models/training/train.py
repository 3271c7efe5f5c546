"""Train a detector on crops; stop and resume at will.

python train.py --data DIR --sim SIMDIR --design pair --run runs/pair
python train.py --data DIR --sim SIMDIR --design pair --run runs/pair --resume
"""

import argparse
import contextlib
import math
import os
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

import align
from boards import SIDE, Board, board_ids, counts, load_boards, names, sized, split
from dataset import Crops, collate
from evaluate import look, plain, summary
from journal import Journal
from loss import detection_loss
from muon import Muon
from network import DESIGNS, Detector

EMA_DECAY = 0.9985
WARM_UP = 300  # steps
SAVE_SECONDS = 90
LOG_EVERY = 100  # steps
# Arguments that a resumed run may change. The others would make another run of it.
CHANGEABLE = (
    "steps",
    "everything",
    "size",
    "batch",
    "mosaic",
    "sim",
    "sim_share",
    "validate",
    "threads",
    "workers",
)


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


def optimizers_for(
    model: Detector, peak: float, short: torch.dtype | None = None
) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions, AdamW for norms, biases and the last layers; decay on convolutions only."""
    last = {id(model.classify[-1].weight), id(model.regress[-1].weight)}
    inner = [p for p in model.parameters() if p.ndim > 1 and id(p) not in last]
    heads = [p for p in model.parameters() if id(p) in last]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": heads, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return [Muon(inner, lr=peak, weight_decay=0.01, short=short), torch.optim.AdamW(groups, lr=peak)]


def save(path: Path, **state) -> None:
    """Write a checkpoint beside its name and rename it, so that a stop leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def loader(args: argparse.Namespace, start: int) -> DataLoader:
    """Batches from step `start` to the end, or to where the run is to stop."""
    root = Path(args.data)
    ids = board_ids(root)
    print(counts(ids) + ("; trained on all" if args.everything else ""))
    chosen = ids if args.everything else split(ids)["train"]
    if not chosen:
        raise SystemExit(f"{root}: no boards to train on ({counts(ids)}): give more, or --everything")
    boards = usable(load_boards(root, chosen), args)
    extra = []
    if args.sim:
        extra = usable(load_boards(Path(args.sim), board_ids(Path(args.sim))), args)
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
    batches = [range(k * args.batch, (k + 1) * args.batch) for k in range(start, last(args))]
    return DataLoader(
        crops,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=args.workers,
        prefetch_factor=6 if args.workers else None,
    )


def last(args: argparse.Namespace) -> int:
    """The step after which the command leaves."""
    return min(args.steps, args.stop_at or args.steps)


def usable(boards: list[Board], args: argparse.Namespace) -> list[Board]:
    """The boards without those whose template is a stranger's, which are named.

    Refuses boards of another size than the models take, or smaller than a crop, and for a pair boards without
    a template.
    """
    sized(boards, SIDE, SIDE)
    small = [b.id for b in boards if min(b.test.shape) < args.size]
    if small:
        raise SystemExit(
            f"smaller than a crop of {args.size} px: {names(small)}; remove them or lower --size"
        )
    if DESIGNS[args.design].inputs == 1:
        return boards
    bare = [b.id for b in boards if b.template is None]
    if bare:
        raise SystemExit(
            f"without a template, images/<id>_temp.jpg: {names(bare)}; add it or remove the board"
        )
    strange = [b.id for b in boards if align.mismatch(b.test, b.template) > align.MOST_MISMATCH]
    if strange:
        print(f"not trained on, since the template does not fit: {names(strange)}")
    if len(strange) == len(boards):
        raise SystemExit("no template fits its board: see that each is its own board's, at most 12 px off")
    gone = set(strange)
    return [b for b in boards if b.id not in gone]


def place() -> tuple[torch.device, torch.dtype | None]:
    """Where to train, and the short float to multiply in, if any: a GPU, or a CPU with bf16 in hardware."""
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    return torch.device("cpu"), torch.bfloat16 if fast else None


def repeatable(device: torch.device) -> None:
    """On a GPU, ask for the kernels that repeat bit by bit; PyTorch warns where it has none."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def precision(device: torch.device, short: torch.dtype | None):
    """Autocast to the short float, or nothing."""
    return contextlib.nullcontext() if short is None else torch.autocast(device.type, dtype=short)


class Training:
    """A detector while it learns: its average, its optimizers, its running losses, and the step."""

    def __init__(self, args: argparse.Namespace, device: torch.device, short: torch.dtype | None):
        self.args, self.device, self.short = args, device, short
        self.path = Path(args.run) / "last.pt"
        self.model = Detector(DESIGNS[args.design]).to(device, memory_format=torch.channels_last)
        self.average = Detector(DESIGNS[args.design]).to(device)
        self.average.load_state_dict(self.model.state_dict())
        self.optimizers = optimizers_for(self.model, args.rate, short)
        self.step = 0
        self.means: dict[str, float] = {}  # exponential, over about the last 50 steps
        self.everything = args.everything

    def save(self) -> None:
        """Write the checkpoint."""
        save(
            self.path,
            step=self.step,
            design=self.args.design,
            arguments=stored(self.args) | {"everything": self.everything},
            means=self.means,
            model=self.model.state_dict(),
            average=self.average.state_dict(),
            optimizers=[o.state_dict() for o in self.optimizers],
        )

    def resume(self) -> None:
        """Go on from the run's checkpoint; refuses one of another design, format or kind of training."""
        state = torch.load(self.path, weights_only=True, map_location=self.device)
        if state["design"] != self.args.design:
            raise SystemExit(
                f"{self.path} holds a detector of design {state['design']}, not {self.args.design}"
            )
        if not {"optimizers", "arguments", "means"} <= state.keys():
            raise SystemExit(
                f"{self.path} is of another version of train.py and can be exported, but not resumed: "
                f"remove {self.args.run} to begin anew"
            )
        for line in changes(state["arguments"], stored(self.args), self.path):
            print(line)
        self.step, self.means = state["step"], state["means"]
        # What was once trained on stays so.
        self.everything = self.args.everything or state["arguments"]["everything"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, past in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(past)

    def learn(self, images, truth, labels, valid) -> None:
        """One step on one batch."""
        for group in (g for optimizer in self.optimizers for g in optimizer.param_groups):
            group["lr"] = rate(self.step, self.args.steps, self.args.rate)
        device = self.device
        pixels = images.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
        with precision(device, self.short):
            outputs = self.model(pixels)
        outputs = tuple(o.float() for o in outputs)
        loss, parts = detection_loss(outputs, truth.to(device), labels.to(device), valid.to(device))
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        slope = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.check(parts | {"gradient": float(slope)})
        for optimizer in self.optimizers:
            optimizer.step()
        follow(self.average, self.model, self.step)
        for name, value in parts.items():
            self.means[name] = 0.98 * self.means.get(name, value) + 0.02 * value
        self.step += 1

    def check(self, values: dict[str, float]) -> None:
        """Leave where a loss or the gradient is no finite number: no later step would mend the weights."""
        if all(math.isfinite(value) for value in values.values()):
            return
        text = ", ".join(f"{name} {value:g}" for name, value in values.items())
        kept = f"{self.path} is left as it was" if self.path.exists() else "nothing was saved"
        raise SystemExit(
            f"step {self.step + 1} is not finite ({text}); {kept}: look for a faulty board, or begin anew "
            "with a lower --rate and another --run"
        )


def stored(args: argparse.Namespace) -> dict:
    """The arguments as a checkpoint keeps them: all but where it is, and how far; folders in full."""
    apart = ("run", "resume", "design", "stop_at")
    result = {name: value for name, value in vars(args).items() if name not in apart}
    return result | {name: os.path.abspath(result[name]) for name in ("data", "sim") if result[name]}


def changes(past: dict, now: dict, path: Path) -> list[str]:
    """What a resumed run changes on purpose, for reading. Refuses any other change."""
    differing = [name for name in now if past.get(name) != now[name]]
    fixed = [name for name in differing if name not in CHANGEABLE]
    if fixed:
        told = ", ".join(f"{option(name)} {past.get(name)} and not {now[name]}" for name in fixed)
        raise SystemExit(f"{path} was trained with {told}: give the same, or remove its folder to begin anew")
    return [f"from here on {option(name)} is {now[name]}, no longer {past.get(name)}" for name in differing]


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def train(args: argparse.Namespace) -> None:
    """Run from the start, or from the run's checkpoint with --resume."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device, short = place()
    repeatable(device)
    run = Training(args, device, short)
    if args.resume:
        run.resume()
    batches = loader(args, run.step)
    journal = Journal(Path(args.run) / "log.jsonl", run.step)
    checks = [] if run.everything else validation(args)
    print(f"training {args.design} on {device}, {short or 'float32'}, from step {run.step} of {args.steps}")
    run.model.train()
    saved = time.monotonic()
    bar = tqdm(batches, initial=run.step, total=args.steps, unit="step", mininterval=5)
    for batch in bar:
        run.learn(*batch)
        bar.set_postfix({name: f"{value:.3f}" for name, value in run.means.items()}, refresh=False)
        if run.step % LOG_EVERY == 0:
            journal.write(step=run.step, rate=rate(run.step - 1, args.steps, args.rate), **run.means)
        if checks and (run.step % args.validate == 0 or run.step == args.steps):
            journal.write(step=run.step, validation=plain(validate(run.average, checks)))
        if time.monotonic() - saved > SAVE_SECONDS or run.step == last(args):
            saved = time.monotonic()
            run.save()
    if run.step < args.steps:
        print(
            f"stopped at step {run.step} of {args.steps}: the next command with {args.run} goes on from here"
        )


def validation(args: argparse.Namespace) -> list:
    """The boards of the validation block."""
    root = Path(args.data)
    ids = split(board_ids(root))["block"]
    if not ids:
        print("no boards to validate on: the curve will show losses only")
    boards = load_boards(root, ids)
    sized(boards, SIDE, SIDE)
    return boards


def validate(average: Detector, boards: list) -> dict[str, float]:
    """The averaged weights on the validation block, for the curve; the run itself chooses nothing by it.

    Whoever reads the curve does: the recipes of the shipped bundles were chosen on this block.
    """
    result = summary(look(average, boards), None)
    return {key: round(result[key], 5) for key in ("map_iou33", "f_iou33", "map50", "map50_95")}


def arguments() -> argparse.Namespace:
    changeable = ", ".join(option(name) for name in CHANGEABLE)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help=f"boards of {SIDE} x {SIDE} px in the deeppcb layout")
    parser.add_argument("--sim", help="simulated boards in the same layout, mixed in")
    parser.add_argument("--sim-share", type=float, default=0.25, help="share of crops from --sim")
    parser.add_argument("--design", choices=DESIGNS, default="pair", help="shape of the detector")
    parser.add_argument("--everything", action="store_true", help="train on block and group, too")
    parser.add_argument("--run", default="runs/first", help="folder of the checkpoint")
    parser.add_argument(
        "--resume", action="store_true", help=f"continue the run's checkpoint; may change {changeable}"
    )
    parser.add_argument("--steps", type=int, default=14000, help="steps in all")
    parser.add_argument(
        "--stop-at", type=int, metavar="STEP", help="leave after this step; goes on as planned"
    )
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
