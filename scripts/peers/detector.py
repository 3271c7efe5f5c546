"""A bundle's detector as a Python user would write it: onnxruntime, OpenCV and numpy.

It takes from bundle.yaml what differs from bundle to bundle: the CPU's variant of the model, the type of its
input, black and white, and the family of its outputs. What it cannot do it refuses, rather than measure
something else.
"""

import pathlib

import cv2
import numpy as np
import onnxruntime as ort
import yaml

FAMILIES = ("yolov8", "dfl")


class Detector:
    """The model of a bundle on so many threads of the CPU. Not safe for concurrent use."""

    def __init__(self, bundle, threads):
        bundle = pathlib.Path(bundle)
        manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
        refuse(bundle, manifest)
        shape, way = manifest["input"], manifest.get("preprocess", {})
        self.width, self.height = shape["width"], shape["height"]
        self.template = shape.get("template", False)
        self.channels = shape.get("channels", 3) - self.template  # of a frame
        self.bytes = shape.get("type") == "uint8"
        self.pad = way.get("pad", 114)
        self.binarize = str(way.get("binarize", ""))
        self.classes = [c["name"] for c in manifest["classes"]]
        self.thresholds = np.array([c["threshold"] for c in manifest["classes"]], np.float32)
        self.decoder = manifest["decoder"]

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        model = bundle / cpu_model(manifest)
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = output_names(self.decoder)

    def blob(self, frame, template=None):
        """The model's input of a frame [H,W,3] or [H,W] uint8, and where the frame lies in it.

        A template is one that has been moved onto the frame.
        """
        picture, place = self.letterbox(frame)
        planes = picture[np.newaxis] if picture.ndim == 2 else picture[..., ::-1].transpose(2, 0, 1)
        if self.template:
            if template is None:
                raise ValueError("this model looks at pairs: give each frame its template")
            planes = np.stack((picture, self.letterbox(template)[0]))
        if self.bytes:
            return np.ascontiguousarray(planes[np.newaxis]), place
        return np.ascontiguousarray(planes[np.newaxis], dtype=np.float32) / 255, place

    def letterbox(self, frame):
        """Scales a frame into the model's size, centred on a border; also scale, left and top."""
        scale = min(self.width / frame.shape[1], self.height / frame.shape[0])
        w, h = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
        picture = frame if scale == 1 else cv2.resize(frame, (w, h), interpolation=cv2.INTER_LINEAR)
        if self.channels == 1 and picture.ndim == 3:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        if self.binarize == "otsu":
            picture = cv2.threshold(picture, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
        elif self.binarize:  # the least gray that becomes 255
            picture = cv2.threshold(picture, int(self.binarize) - 1, 255, cv2.THRESH_BINARY)[1]
        left, top = (self.width - w) // 2, (self.height - h) // 2
        picture = cv2.copyMakeBorder(
            picture, top, self.height - h - top, left, self.width - w - left,
            cv2.BORDER_CONSTANT, value=(self.pad,) * 3,
        )
        return picture, (scale, left, top)

    def run(self, blob):
        """The model's outputs."""
        return self.session.run(self.outputs, {self.input: blob})

    def decode(self, outputs, place, frame):
        """Turns outputs into (class, score, x1, y1, x2, y2) in pixels of the frame, best first."""
        if self.decoder["family"] == "dfl":
            boxes, scores, labels = dfl(*outputs, self.thresholds, self.width)
        else:
            boxes, scores, labels = yolov8(*outputs, self.thresholds)
        if labels.size == 0:
            return []
        sized = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
        kept = cv2.dnn.NMSBoxesBatched(sized, scores, labels, 0.0, self.decoder.get("nms_iou", 0.6))
        kept = np.asarray(kept).flatten()[: self.decoder.get("max_detections", 100)]
        scale, left, top = place
        height, width = frame.shape[:2]
        corners = (boxes[kept] - (left, top, left, top)) / scale
        corners = corners.clip(0, (width, height, width, height))
        return [
            (int(label), float(score), *map(float, box))
            for label, score, box in zip(labels[kept], scores[kept], corners, strict=True)
        ]


def refuse(bundle, manifest):
    """Ends the program with what of the manifest this detector does not do."""
    shape, way = manifest["input"], manifest.get("preprocess", {})
    odd = [f"input.layout {shape['layout']}"] if shape.get("layout", "nchw") != "nchw" else []
    odd += [f"preprocess.resize {way['resize']}"] if way.get("resize", "letterbox") != "letterbox" else []
    odd += [f"preprocess.color {way['color']}"] if way.get("color") == "bgr" else []
    odd += [f"preprocess.{key}" for key in ("scale", "mean", "std") if key in way]
    odd += ["decoder.class_agnostic"] if manifest["decoder"].get("class_agnostic") else []
    odd += [f"decoder.family {f}"] if (f := manifest["decoder"]["family"]) not in FAMILIES else []
    if odd:
        names = ", ".join(odd)
        raise SystemExit(f"{bundle}: the Python pipeline does not know {names}: compare another bundle")


def cpu_model(manifest):
    """The file of the model that the CPU runs."""
    for provider in manifest.get("providers", {}).get("order", []):
        if provider["name"] == "cpu" and "model" in provider:
            return provider["model"]
    return manifest.get("model", "model.onnx")


def output_names(decoder):
    """The outputs to ask for; None is all there are."""
    if decoder["family"] == "dfl":
        return [decoder.get("output", "scores"), decoder.get("distances", "distances")]
    return [decoder["output"]] if decoder.get("output") else None


def yolov8(output, thresholds):
    """Boxes [n,4], scores [n] and classes [n] of [1,4+classes,N] that reach the thresholds."""
    rows = output[0]
    labels, cells = np.nonzero(rows[4:] >= thresholds[:, np.newaxis])
    x, y, w, h = rows[:4, cells]
    boxes = np.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), axis=1)
    return boxes, rows[4 + labels, cells], labels


def dfl(logits, distances, thresholds, width):
    """The same of logits [1,classes,h,w] and the sides' distributions [1,4*bins,h,w].

    Thresholds are compared as logits, and sides computed of the few cells that reach them.
    """
    columns = logits.shape[3]
    logits = logits.reshape(logits.shape[1], -1)
    floors = np.log(thresholds / (1 - thresholds))
    labels, cells = np.nonzero(logits >= floors[:, np.newaxis])
    scores = 1 / (1 + np.exp(-logits[labels, cells]))
    bins = distances.reshape(4, distances.shape[1] // 4, -1)[:, :, cells]
    weights = np.exp(bins - bins.max(axis=1, keepdims=True))
    steps = np.arange(bins.shape[1], dtype=np.float32)[:, np.newaxis]
    left, top, right, bottom = (weights * steps).sum(axis=1) / weights.sum(axis=1)
    x, y = cells % columns + 0.5, cells // columns + 0.5
    boxes = np.stack((x - left, y - top, x + right, y + bottom), axis=1) * (width / columns)
    return boxes, scores, labels
