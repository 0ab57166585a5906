#!/usr/bin/env python3
"""Builds the face detector YuNet-s from PyPI's yuface wheel.

usage: face_yunet.py yuface-2023.5.1-cp311-…_x86_64.whl OUT.onnx

The wheel has no model file: its weights are compiled into yuface/libfacedetection.so as float arrays, each a named
symbol such as backbone__model0_pw_weight. This reads them by name and writes the network around them, for any height
and width that are multiples of 32, where the library itself computes one picture at a time in C.
"""

import struct
import sys
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LIBRARY = "yuface/libfacedetection.so"
STRIDES = (8, 16, 32)
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}  # values per cell; the first two are probabilities


class Weights:
    """The float arrays of an ELF64 library, by their symbol's name."""

    SYMTAB = 2

    def __init__(self, library):
        self.library, self.arrays = library, {}
        start, = struct.unpack_from("<Q", library, 0x28)
        size, count = struct.unpack_from("<HH", library, 0x3A)
        sections = [struct.unpack_from("<IIQQQQIIQQ", library, start + i * size) for i in range(count)]
        for _, kind, _, _, offset, length, link, _, _, entry in sections:
            if kind != self.SYMTAB:
                continue
            names = sections[link][4]
            for at in range(offset, offset + length, entry):
                name, _, _, section, value, extent = struct.unpack_from("<IBBHQQ", library, at)
                end = library.index(b"\0", names + name)
                if extent and section < count:
                    place = sections[section][4] + value - sections[section][3]
                    self.arrays[library[names + name:end].decode("latin1")] = (place, extent)

    def __getitem__(self, name):
        place, extent = self.arrays[name]
        return np.frombuffer(self.library, "<f4", extent // 4, place)


class Network:
    """Builds the graph. Every method takes and returns the name of a tensor."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def conv(self, x, name, shape, stride=1, relu=False):
        """The library stores a first layer's 3x3x3 kernel padded to 32 values, a depthwise kernel as [9, channels]."""
        bias, weight = self.weights[name + "_bias"], self.weights[name + "_weight"]
        size, group = 3, 1
        if shape == "image":
            weight = weight.reshape(-1, 32)[:, :27].reshape(-1, 3, 3, 3).transpose(0, 3, 1, 2)
        elif shape == "pointwise":
            weight, size = weight.reshape(len(bias), -1, 1, 1), 1
        else:
            weight, group = weight.reshape(9, -1).T.reshape(-1, 1, 3, 3), len(bias)
        inputs = [x, self.constant(name + ".w", weight), self.constant(name + ".b", bias)]
        self.add("Conv", inputs, name, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[size // 2] * 4, group=group)
        return self.add("Relu", [name], name + ".r") if relu else name

    def separable(self, x, name, relu=True):
        return self.conv(self.conv(x, name + "_pw", "pointwise"), name + "_dw", "depthwise", relu=relu)

    def stage(self, x, number):
        return self.separable(self.separable(x, f"backbone__model{number}_dp1"), f"backbone__model{number}_dp2")

    def pool(self, x):
        return self.add("MaxPool", [x], x + ".p", kernel_shape=[2, 2], strides=[2, 2])

    def features(self):
        """The picture at the three strides, each finer one joined by what the coarser one saw."""
        x = self.conv("input", "backbone__model0_pw", "image", stride=2, relu=True)
        x = self.pool(self.separable(x, "backbone__model0_dp"))
        x = self.pool(self.stage(self.stage(x, 1), 2))
        levels = [self.stage(x, 3)]
        levels.append(self.stage(self.pool(levels[0]), 4))
        levels.append(self.stage(self.pool(levels[1]), 5))
        double, whole = self.constant("scale2", np.array([1, 1, 2, 2], np.float32)), self.constant("roi", np.zeros(0, np.float32))
        levels[2] = self.separable(levels[2], "neck__lateral_convs__2")
        for i in (1, 0):
            up = self.add("Resize", [levels[i + 1], whole, double], f"up{i}",
                          mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
            levels[i] = self.separable(self.add("Add", [levels[i], up], f"add{i}"), f"neck__lateral_convs__{i}")
        return levels

    def head(self, x, head, level):
        """One of the twelve outputs: [batch, cells, values]."""
        y, name = self.separable(x, f"bbox_head__multi_level_{head}__{level}", relu=False), f"{head}_{STRIDES[level]}"
        y = self.add("Transpose", [y], name + ".t", perm=[0, 2, 3, 1])
        if HEADS[head] == 1:
            return self.add("Sigmoid", [self.add("Reshape", [y, "shape_" + head], name + ".l")], name)
        return self.add("Reshape", [y, "shape_" + head], name)


def build(library):
    network, outputs = Network(Weights(library)), []
    levels = network.features()
    for head, values in HEADS.items():
        network.constant("shape_" + head, np.array([0, -1, values], np.int64))
        for i, stride in enumerate(STRIDES):
            name = network.head(levels[i], head, i)
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", f"n{stride}", values]))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    graph = helper.make_graph(network.nodes, "yunet_s", [image], outputs, network.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6, producer_name="yuface-2023.5.1")
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    onnx.save(build(zipfile.ZipFile(sys.argv[1]).read(LIBRARY)), sys.argv[2])
