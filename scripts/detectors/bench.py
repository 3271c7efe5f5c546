"""Measures the reference detectors by `sightline-agent eval` and puts their figures beside their bars.

Prints one table and ends with an error when a figure misses its bar. --parts is a folder with the boards of
each part in the deeppcb layout: block and group of the data set, and simulated ones, sim. All reports are
kept there as report.json. The bundles of --models are trained on block and group, too: on these their twins
in --held-out are judged, which were not. Where a twin was, or does not tell, block and group miss their bars.
A part without boards is left out.

With --all the bundles of --models themselves are judged, on all boards of a folder, by the bars of block: for
boards that none of them was trained on.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

import onnx
import yaml

THREADS = 2  # the bars of times are for so many
PARTS = ("block", "group", "sim")
WHOLE = "all"  # the part that --all judges
COMPARE = "compare"  # needs no bundle
TRAINING = "sightline.training"  # key of a model's metadata, as models/training/export.py writes it

# Each figure of a report, and whether its bar is the most that is allowed.
FIGURES = {
    "map_iou33": False, "f_iou33": False, "precision": False, "recall": False, "map50": False,
    "map50_95": False, "clean_alarmed": True, "failed": True, "ms_p50": True, "inspection_ms_p50": True,
}
LEGEND = """\
! misses its bar. clean_alarmed: of the boards without a label, those with a detection. failed: boards that
could not be inspected."""
TWINS = """\
block and group are figures of the twins that were not trained on these boards. The recipes and thresholds
were chosen on block, whose figures are therefore somewhat kind; nothing was chosen on group."""
SHIPPED = """\
all are figures of what is shipped. It was trained on all 1,000 training pairs of DeepPCB: on any of these they
say nothing of boards that it has not seen."""

ALL = {"failed": 0}
SIM = {"recall": 0.99, "clean_alarmed": 0.01, **ALL}
BARS = {
    "pcb-defects-pair": {
        "block": {
            "map_iou33": 0.995, "f_iou33": 0.992, "map50": 0.994, "map50_95": 0.840,
            "ms_p50": 8, "inspection_ms_p50": 12, **ALL,
        },
        "sim": SIM,
    },
    "pcb-defects": {
        "block": {
            "map_iou33": 0.990, "f_iou33": 0.985, "map50": 0.990, "map50_95": 0.804, "ms_p50": 12, **ALL,
        },
        "sim": SIM,
    },
    COMPARE: {"block": {"recall": 0.98, "precision": 0.90, "inspection_ms_p50": 6, **ALL}, "sim": SIM},
}


def evaluate(agent, models, detector, folder, split=None):
    """The report of eval with a bundle in models. What failed there is in it, too."""
    what = ["--method", COMPARE] if detector == COMPARE else ["--bundle", str(models / detector)]
    # That a machine has no GPU is no news nine times over.
    command = [agent, "eval", *what, "--data", str(folder), "--threads", str(THREADS), "-o", "json"]
    command += ["--log-level", "error", *(["--split", split] if split else [])]
    run = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    try:
        report = json.loads(run.stdout)
    except json.JSONDecodeError:
        report = None
    if report is None or (run.returncode != 0 and not report.get("failed")):
        raise SystemExit(f"bench-detectors: no figures of {detector} on {folder.name}; eval says above why")
    missing = {*FIGURES, "clean", "images"} - report.keys()
    if missing:
        names = ", ".join(sorted(missing))
        raise SystemExit(f"bench-detectors: {agent} reports no {names}: make build, then again")
    return report


def unseen(models, detector):
    """Whether a bundle's model for the CPU says that it was not trained on the boards that judge it."""
    if detector == COMPARE:
        return True
    folder = models / detector
    providers = yaml.safe_load((folder / "bundle.yaml").read_text())["providers"]["order"]
    model = next(p.get("model", "model.onnx") for p in providers if p["name"] == "cpu")
    entries = onnx.load(folder / model, load_external_data=False).metadata_props
    past = next((json.loads(e.value) for e in entries if e.key == TRAINING), None)
    return past is not None and not past["everything"]


def value(report, figure):
    """What is held against a bar: a count, or of alarms their share of the clean boards, nan without any."""
    if figure == "failed":
        return len(report["failed"] or [])
    if figure == "clean_alarmed":
        return report[figure] / report["clean"] if report["clean"] else math.nan
    return report[figure]


def bars(detector, part):
    """The bars of a part."""
    return BARS[detector].get("block" if part == WHOLE else part, {})


def misses(detector, part, figure, report):
    """Whether a figure has a bar and does not reach it; nan reaches none."""
    bar = bars(detector, part).get(figure)
    if bar is None:
        return False
    if part in ("block", "group") and not report["unseen"]:
        return True
    found = value(report, figure)
    return not (found <= bar if FIGURES[figure] else found >= bar)


def written(report, figure):
    """A figure for reading."""
    if figure == "failed":
        return f"{value(report, figure)} of {report['images']}"
    if figure == "clean_alarmed":
        return f"{report[figure]} of {report['clean']}"
    return f"{report[figure]:.1f} ms" if "ms_" in figure else f"{report[figure]:.4f}"


def bar_of(detector, figure, parts):
    """The bars of a figure for reading, each with the part that it is for."""
    sign = "<=" if FIGURES[figure] else ">="
    known = {part: bars(detector, part) for part in parts}
    return ", ".join(f"{part} {sign} {of[figure]:g}" for part, of in known.items() if figure in of)


def row(detector, figure, bar, cells):
    """A line of the table."""
    return f"{detector:<23} {figure:<18} {bar:<28}{''.join(f'{cell:>14}' for cell in cells)}".rstrip()


def table(reports, parts):
    """All figures beside their bars; ! marks those that miss it."""
    lines = [row("detector", "figure", "bar", (f"{part}  " for part in parts))]
    for detector, of in reports.items():
        name = f"{detector} {of[parts[-1]].get('version', '')}"
        for figure in FIGURES:
            cells = [
                written(of[part], figure) + (" !" if misses(detector, part, figure, of[part]) else "  ")
                for part in parts
            ]
            lines.append(row(name, figure, bar_of(detector, figure, parts), cells))
            name = ""
    return "\n".join(lines)


def with_boards(folder):
    """The parts of a folder that have boards; says which have none."""
    found = [part for part in PARTS if any((folder / part / "labels").glob("*.txt"))]
    for part in PARTS:
        if part not in found:
            print(f"{part} is left out: these data have no boards of it")
    if not found:
        raise SystemExit(f"bench-detectors: no boards in {folder}: give others, or judge them all with --all")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="bin/sightline-agent")
    parser.add_argument("--parts", type=pathlib.Path, default=pathlib.Path("build/detectors"))
    parser.add_argument("--models", type=pathlib.Path, default=pathlib.Path("models"), help="their folder")
    parser.add_argument(
        "--held-out", type=pathlib.Path, default=pathlib.Path("models/training/held-out"),
        help="folder of the twins that were not trained on block and group",
    )
    parser.add_argument("--all", type=pathlib.Path, help="boards to judge all of, by what is shipped")
    parser.add_argument("--split", help="of --all, only what this list of the data set names, such as test")
    args = parser.parse_args()
    if args.split and not args.all:
        raise SystemExit("bench-detectors: --split is of --all (make bench-detectors PART=all)")

    parts = [WHOLE] if args.all else with_boards(args.parts)
    reports = {}
    for detector in BARS:
        known = bool(args.all) or unseen(args.held_out, detector)
        if not known:
            print(f"{detector} was trained on block and group, or does not say: no figure of these counts")
        for part in parts:
            print(f"{detector} on {part}", file=sys.stderr)
            models = args.held_out if part in ("block", "group") else args.models
            folder = args.all or args.parts / part
            report = evaluate(args.agent, models, detector, folder, args.split) | {"unseen": known}
            reports.setdefault(detector, {})[part] = report
    (args.parts / "report.json").write_text(json.dumps(reports, indent=1) + "\n")
    print(table(reports, parts))
    print(LEGEND)
    print(SHIPPED if args.all else TWINS)
    missed = [
        f"{detector} {figure} on {part}"
        for detector, of in reports.items() for part in parts for figure in FIGURES
        if misses(detector, part, figure, of[part])
    ]
    if missed:
        raise SystemExit(f"bench-detectors: these miss their bars: {', '.join(missed)}")


if __name__ == "__main__":
    main()
