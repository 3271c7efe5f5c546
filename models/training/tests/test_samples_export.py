"""What `sightline-agent samples export` writes is what pycocotools reads."""

from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

ROOT = Path(__file__).resolve().parents[3]
EXPORT = ROOT / "agent" / "internal" / "samples" / "testdata" / "instances.json"


def test_pycocotools_reads_an_export_of_samples():
    coco = COCO(str(EXPORT))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["open", "short", "scratch"]
    assert len(coco.getImgIds()) == 5
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == 5
    for a in annotations:
        image = coco.loadImgs(a["image_id"])[0]
        x, y, w, h = a["bbox"]
        assert x >= 0 and y >= 0 and w > 0 and h > 0
        assert x + w <= image["width"] and y + h <= image["height"]
        if a["segmentation"]:
            mask = coco.annToMask(a)
            rows, columns = np.nonzero(mask)
            assert (columns.min(), rows.min()) == (x, y)
            assert mask.sum() == a["area"]
        else:
            assert a["area"] == w * h
    clean = [i for i in coco.getImgIds() if not coco.getAnnIds(imgIds=i)]
    assert len(clean) == 1
    assert coco.loadImgs(clean)[0]["attributes"]["vouched"]


def test_pycocotools_takes_its_boxes_for_truth_and_detections():
    coco = COCO(str(EXPORT))
    scored = [a for a in coco.dataset["annotations"] if "score" in a]
    found = coco.loadRes([{k: a[k] for k in ("image_id", "category_id", "bbox", "score")} for a in scored])
    assert len(found.getAnnIds()) == len(scored) == 3
