#!/usr/bin/env python3
"""Measures in which range each layer of the person detector works, on footage out of packages.

usage: calibrate.py nanodet.json RANGES.json PICTURE-OR-CLIP...

A range is what occurred, from least to greatest: cutting off rare extremes was tried and cost scores. It is written
with three significant digits, since the last bits of a float differ between processors and must not change the model.
"""

import sys

import cv2
import numpy as np
import onnx
import onnxruntime

import human_models_nanodet as nanodet
import person_nanodet

SIZES = ((288, 512), (416, 416), (384, 640))  # of the network's input
FRAMES = 12  # of a clip, from its first third: the rest is left to compare models on


def pictures(paths):
    for path in paths:
        if not path.endswith(".avi"):
            yield cv2.imread(path)
            continue
        clip = cv2.VideoCapture(path)
        count = int(clip.get(cv2.CAP_PROP_FRAME_COUNT)) // 3
        for i in range(count):
            ok, frame = clip.read()
            if ok and i % (count // FRAMES) == 0:
                yield frame


def variants(picture):
    """The picture as it is, by night and against the light, and small, so that what is large in it is small too."""
    yield picture
    yield (picture * 0.3).astype(np.uint8)
    yield np.clip(picture * 1.6 + 20, 0, 255).astype(np.uint8)
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    yield np.tile(half, (2, 2, 1))


def letterbox(picture, height, width):
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    boxed = np.full((height, width, 3), nanodet.PAD, np.uint8)
    boxed[:size[1], :size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return boxed.transpose(2, 0, 1)[np.newaxis].astype(np.float32)


def main(path, out, *paths):
    layers, heads = nanodet.read(path)
    names = [x.name for x in layers if x.name not in heads and x.op not in person_nanodet.RANGE_KEPT]
    model = person_nanodet.build_float(path)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ranges, count = {n: (0.0, 0.0) for n in names}, 0
    for picture in pictures(paths):
        for variant in variants(picture):
            image = letterbox(variant, *SIZES[count % len(SIZES)])
            for name, values in zip(names, session.run(names, {"image": image})):
                low, high = ranges[name]
                ranges[name] = min(low, values.min()), max(high, values.max())
            count += 1
    rows = ",\n".join(f'    "{n}": [{low:.3g}, {high:.3g}]' for n, (low, high) in ranges.items())
    with open(out, "w") as f:
        f.write(f'{{\n  "pictures": {count},\n  "ranges": {{\n{rows}\n  }}\n}}\n')


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
