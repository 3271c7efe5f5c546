"""Runs Sightline and the plain Python pipeline in turn on the same frames, model, broker and machine.

Prints what each adds to the model's own time, and their ratio; exits with an error when Sightline's share is
over its limit of a third. The same subscriber takes the time of both, and both get their parts at the same
interval.
"""

import argparse
import contextlib
import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import cv2

LIMIT = 1 / 3
WARMUP = 10  # parts of each run that are not counted


@contextlib.contextmanager
def mosquitto(folder):
    """A broker on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nset_tcp_nodelay true\n")
    path = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    server = subprocess.Popen([path, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise RuntimeError("mosquitto does not listen: run scripts/setup --bench")
        yield port
    finally:
        server.terminate()
        server.wait()


def make_frames(simboards, folder, count):
    """Writes colour PNG frames of 1920x1080, so that both sides start from three channels in memory.

    They are the boards of `make bench`: drawn at a third of the size and enlarged, so that the model sees
    what it was trained on.
    """
    boards = folder / "boards"
    subprocess.run(
        [simboards, "-out", boards, "-boards", str(count), "-seed", "11", "-clean", "1", "-quality", "100",
         "-width", "640", "-height", "360"],
        check=True, stderr=subprocess.DEVNULL,
    )
    frames = folder / "frames"
    frames.mkdir()
    for path in sorted((boards / "images").glob("*_test.jpg")):
        board = cv2.imread(str(path), cv2.IMREAD_COLOR)
        large = cv2.resize(board, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(frames / (path.stem + ".png")), large)
    return frames


def ours(args, frames, port, parts):
    out = subprocess.run(
        [args.agent, "bench", "--bundle", args.bundle, "--rounds", "0", "--parts", str(parts), "-o", "json",
         "--camera", f"dir:{frames}?loop=true&preload=true", "--broker", f"tcp://127.0.0.1:{port}",
         "--threads", str(args.threads)],
        check=True, stdout=subprocess.PIPE,
    ).stdout
    report = json.loads(out)
    return report["beyond_model_ms"], report["model_ms_p50"], report["interval_ms"]


def theirs(args, frames, port, parts, interval):
    pipeline = pathlib.Path(__file__).with_name("pipeline.py")
    watch = subprocess.Popen(
        [args.agent, "bench", "stopwatch", "--broker", f"tcp://127.0.0.1:{port}", "--topic", "peer/result",
         "--count", str(WARMUP + parts)],
        stdout=subprocess.PIPE, text=True,
    )
    try:
        watch.stdout.readline()
        subprocess.run(
            [sys.executable, pipeline, "--bundle", args.bundle, "--frames", frames, "--port", str(port),
             "--parts", str(parts), "--warmup", str(WARMUP), "--interval", str(interval),
             "--threads", str(args.threads)],
            check=True,
        )
        out, _ = watch.communicate(timeout=10)  # it prints when the last result has arrived
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not all of {WARMUP + parts} results of the Python pipeline arrived") from None
    finally:
        watch.kill()
        watch.wait()
    laps = [json.loads(line) for line in out.splitlines()][WARMUP:]
    if watch.returncode != 0 or len(laps) != parts:
        raise RuntimeError(f"{len(laps)} of {parts} results of the Python pipeline arrived")
    results = [lap["payload"] for lap in laps]
    beyond = [(lap["at_ns"] - lap["payload"]["frameNs"]) / 1e6 - lap["payload"]["modelMs"] for lap in laps]
    return beyond, statistics.median(result["modelMs"] for result in results)


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="bin/sightline-agent")
    parser.add_argument("--simboards", default="bin/simboards")
    parser.add_argument("--bundle", default="models/pcb-defects")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", type=int, default=60, help="of each side in each round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    args = parser.parse_args()

    sightline, python, model, intervals = [], [], [[], []], []
    with tempfile.TemporaryDirectory(prefix="sightline-peers-") as name:
        folder = pathlib.Path(name)
        frames = make_frames(args.simboards, folder, 20)
        with mosquitto(folder) as port:
            for number in range(args.rounds):
                print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
                beyond, own, interval = ours(args, frames, port, args.parts)
                sightline += beyond
                model[0].append(own)
                intervals.append(interval)
                beyond, own = theirs(args, frames, port, args.parts, interval / 1000)
                python += beyond
                model[1].append(own)
    report = {
        "parts": len(sightline),
        "sightline_ms_p50": quantile(sightline, 0.5), "sightline_ms_p99": quantile(sightline, 0.99),
        "python_ms_p50": quantile(python, 0.5), "python_ms_p99": quantile(python, 0.99),
        "sightline_model_ms": statistics.median(model[0]), "python_model_ms": statistics.median(model[1]),
        "interval_ms": statistics.median(intervals),
    }
    report["ratio"] = report["sightline_ms_p50"] / report["python_ms_p50"]
    report["limit"] = LIMIT
    if args.output == "json":
        print(json.dumps(report, indent=2))
    else:
        print(f"beyond the model      p50        p99        model\n"
              f"Sightline        {report['sightline_ms_p50']:7.2f} ms {report['sightline_ms_p99']:7.2f} ms "
              f"{report['sightline_model_ms']:7.1f} ms\n"
              f"Python           {report['python_ms_p50']:7.2f} ms {report['python_ms_p99']:7.2f} ms "
              f"{report['python_model_ms']:7.1f} ms\n"
              f"ratio of p50     {report['ratio']:7.2f}    limit {LIMIT:.2f}; "
              f"a part each {report['interval_ms']:.0f} ms on both sides")
    if report["ratio"] > LIMIT:
        sys.exit(f"compare: Sightline's own time is over {LIMIT:.2f} of the Python pipeline's")


if __name__ == "__main__":
    main()
