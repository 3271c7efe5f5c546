"""The pipeline that a Python user would write: onnxruntime, OpenCV, paho-mqtt.

Reads frames into memory, then inspects one after another: letterbox, run, decode, NMS, JSON, publish at QoS 1 and wait
for the broker's acknowledgement. Each result says when its frame was in memory (nanoseconds of the wall clock) and how
long the model's own run took, so that a subscriber can tell what came on top.
"""

import argparse
import json
import pathlib
import time
import uuid

import cv2
import numpy as np
import onnxruntime as ort
import paho.mqtt.client as mqtt
import yaml


def letterbox(frame, width, height, channels, pad):
    """Scales a frame [H,W,3] uint8 into [1,channels,height,width] float32 in 0 to 1, centred on a border."""
    scale = min(width / frame.shape[1], height / frame.shape[0])
    w, h = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
    picture = frame if scale == 1 else cv2.resize(frame, (w, h), interpolation=cv2.INTER_LINEAR)
    if channels == 1 and picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    left, top = (width - w) // 2, (height - h) // 2
    picture = cv2.copyMakeBorder(
        picture, top, height - h - top, left, width - w - left, cv2.BORDER_CONSTANT, value=(pad, pad, pad)
    )
    if channels == 1:
        blob = picture[np.newaxis, np.newaxis]
    else:
        blob = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)[np.newaxis]
    return np.ascontiguousarray(blob, dtype=np.float32) / 255, scale, left, top


def decode(output, thresholds, nms_iou, scale, left, top):
    """Turns [1,4+C,N] into (class, score, x1, y1, x2, y2) in frame pixels, suppressed class by class."""
    rows = output[0]
    scores = rows[4:]
    found = []
    for index, threshold in enumerate(thresholds):
        keep = np.flatnonzero(scores[index] >= threshold)
        if keep.size == 0:
            continue
        cx, cy, w, h = rows[:4, keep]
        boxes = np.stack([cx - w / 2, cy - h / 2, w, h], axis=1)
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores[index, keep].tolist(), threshold, nms_iou)
        for k in np.asarray(kept).flatten():
            x, y, bw, bh = boxes[k]
            corners = [(x - left) / scale, (y - top) / scale, (x + bw - left) / scale, (y + bh - top) / scale]
            found.append((index, float(scores[index, keep[k]]), *map(float, corners)))
    return found


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

    manifest = yaml.safe_load((args.bundle / "bundle.yaml").read_text())
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = ort.InferenceSession(args.bundle / "model.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    shape = manifest["input"]
    channels = shape.get("channels", 3)
    pad = manifest.get("preprocess", {}).get("pad", 114)
    classes = manifest["classes"]
    nms_iou = manifest["decoder"].get("nms_iou", 0.6)
    thresholds = [c["threshold"] for c in classes]
    frames = [cv2.imread(str(p), cv2.IMREAD_COLOR) for p in sorted(args.frames.glob("*.png"))]
    client = connect(args.port)

    due = time.perf_counter()
    for part in range(args.warmup + args.parts):
        due += args.interval
        time.sleep(max(0.0, due - time.perf_counter()))
        frame = frames[part % len(frames)]
        frame_ns = time.time_ns()
        blob, scale, left, top = letterbox(frame, shape["width"], shape["height"], channels, pad)
        before = time.perf_counter()
        output = session.run(None, {name: blob})[0]
        after = time.perf_counter()
        found = decode(output, thresholds, nms_iou, scale, left, top)
        result = {
            "resultId": str(uuid.uuid4()),
            "partId": f"P{part:06d}",
            "creationTime": time.time(),
            "frameNs": frame_ns,
            "modelMs": 1000 * (after - before),
            "verdict": "FAIL" if found else "PASS",
            "defects": [
                {"class": classes[c]["name"], "score": s, "box": [x1, y1, x2, y2]} for c, s, x1, y1, x2, y2 in found
            ],
        }
        client.publish("peer/result", json.dumps(result), qos=1).wait_for_publish(5)
    client.loop_stop()


if __name__ == "__main__":
    main()
