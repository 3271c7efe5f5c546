"""The pipeline that a Python user would write: onnxruntime, OpenCV, paho-mqtt.

Reads frames into memory, then inspects one after another: letterbox, run, decode, NMS, JSON, publish at QoS 1
and wait for the broker's acknowledgement. Each result says when its frame was in memory (nanoseconds of the
wall clock) and how long the model's own run took, so that a subscriber can tell what came on top.
"""

import argparse
import json
import pathlib
import time
import uuid

import cv2
import paho.mqtt.client as mqtt
from detector import Detector


def connect(port):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="python-peer")
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=pathlib.Path, required=True)
    parser.add_argument("--frames", type=pathlib.Path, required=True, help="folder of PNG frames")
    parser.add_argument("--port", type=int, required=True, help="of the broker on loopback")
    parser.add_argument("--parts", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--interval", type=float, default=0.0, help="seconds from one part to the next")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    detector = Detector(args.bundle, args.threads)
    if detector.template:
        raise SystemExit(f"{args.bundle} looks at pairs, and no template is here: compare another bundle")
    frames = [cv2.imread(str(p), cv2.IMREAD_COLOR) for p in sorted(args.frames.glob("*.png"))]
    client = connect(args.port)

    due = time.perf_counter()
    for part in range(args.warmup + args.parts):
        due += args.interval
        time.sleep(max(0.0, due - time.perf_counter()))
        frame = frames[part % len(frames)]
        frame_ns = time.time_ns()
        blob, place = detector.blob(frame)
        before = time.perf_counter()
        outputs = detector.run(blob)
        after = time.perf_counter()
        found = detector.decode(outputs, place, frame)
        result = {
            "resultId": str(uuid.uuid4()),
            "partId": f"P{part:06d}",
            "creationTime": time.time(),
            "frameNs": frame_ns,
            "modelMs": 1000 * (after - before),
            "verdict": "FAIL" if found else "PASS",
            "defects": [
                {"class": detector.classes[label], "score": score, "box": box} for label, score, *box in found
            ],
        }
        client.publish("peer/result", json.dumps(result), qos=1).wait_for_publish(5)
    client.loop_stop()


if __name__ == "__main__":
    main()
