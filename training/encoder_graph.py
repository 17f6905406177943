"""The sentence encoder as an ONNX graph: written node by node, in float or in int8.

Theory of operation
-------------------
A BERT encoder is six equal layers, so its best graph can be written down instead of being traced,
exported and then repaired by fusion passes. Every node is already the fused operator onnxruntime
would look for: ``Attention``/``QAttention`` (one matrix for Q, K and V), ``SkipLayerNormalization``
(the residual addition inside the norm), ``Gelu``, ``DynamicQuantizeMatMul`` (with its bias). The
first embedding sum is one ``SkipLayerNormalization`` too: token type 0 is folded into the position
table.

One text a run: the input is ``input_ids`` int64 ``[1, n]``, any ``n`` up to the position table,
with no padding and therefore no attention mask. The output is ``embedding`` float32 ``[1, d]``: the
mean over the tokens, L2-normalised.

The int8 form, and why it is faithful:

* Weights have one scale a column and are rounded to ±64, seven bits. On AVX2 without VNNI the
  kernel adds two products u8·s8 in int16 (``vpmaddubsw``): 2·255·64 = 32,640 < 32,767 cannot
  saturate, while eight bits can, and do: worst cosine 0.9809 against 0.9854 (1,000 web queries, no
  smoothing). So the integer sums are the same with and without VNNI.
* Activations have one scale a run (that is how the operator works), and BERT has a few channels
  15 times as large as the rest (no. 99, 157, 223 of this model), which cost the others their
  resolution. *Smoothing* divides each channel of a matmul's input by ``s`` and multiplies the
  weights' row by ``s``: the same function in float. For the input of QKV and of the first
  feed-forward matmul the division is folded into the norm before it, and the residual branch
  multiplies it back; after GELU it is one multiplication.
  ``s = max(1, sqrt(peak / median peak))`` was the best of eight rules tried: mean cosine to float
  0.9943 → 0.9982, worst 0.985 → 0.996 (300 web queries).
* The word table, half of the file, has one scale a row (a word), eight bits. It costs nothing
  measurable (mean cosine 0.99430 with it, 0.99428 with a float table, no smoothing).

Tried and left out: blockwise int8 (``MatMulNBits``, cosine 0.9997) takes 2.5 times as long without
VNNI; norms of elementary nodes, and ``FastGelu``, gain less than the noise (2 to 4 %).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[np.float32]]
Peaks = Mapping[str, NDArray[np.float32]]
"""Largest absolute value a channel takes, by tensor name (see `smoothed_tensors`)."""

MICROSOFT = "com.microsoft"
OPSET = 18
IR_VERSION = 9
EPSILON = 1e-12  # BERT's own
MATMUL_LIMIT = 64  # see "cannot saturate" above
TABLE_LIMIT = 127  # a look-up table is only multiplied by its scale, so all eight bits are safe


@dataclass(frozen=True)
class Shape:
    """What the weights alone do not say. Lengths in tokens."""

    layers: int
    heads: int
    max_tokens: int


@dataclass
class _Graph:
    """Nodes and constants in the order they were written."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, *more: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output, *more], **attributes))
        return output

    def fused(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        return self.node(op, inputs, output, domain=MICROSOFT, **attributes)


def smoothed_tensors(shape: Shape) -> list[str]:
    """Names of the tensors whose channel peaks `int8_graph` wants."""
    inputs = ["embedded", *(f"layer{i}.normed" for i in range(shape.layers - 1))]
    middles = [f"layer{i}.{part}" for i in range(shape.layers) for part in ("attended", "gelu")]
    return inputs + middles


def float_graph(weights: Weights, shape: Shape) -> onnx.ModelProto:
    """The float32 encoder: the reference for fidelity, and what calibration runs."""
    return _Builder(weights, shape, None).model()


def int8_graph(weights: Weights, shape: Shape, peaks: Peaks) -> onnx.ModelProto:
    """The int8 encoder, smoothed by the channel ``peaks`` that the float one showed."""
    return _Builder(weights, shape, peaks).model()


def quantised(
    values: NDArray[np.float32], axis: int, limit: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric rounding to ±``limit`` with one scale for each slice along ``axis`` (kept as 1)."""
    scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True), 1e-12) / np.float32(limit)
    rounded = np.clip(np.rint(values / scale), -limit, limit).astype(np.int8)
    return rounded, scale.astype(np.float32)


class _Builder:
    def __init__(self, weights: Weights, shape: Shape, peaks: Peaks | None) -> None:
        self.weights, self.shape, self.peaks = weights, shape, peaks
        self.graph = _Graph()

    def model(self) -> onnx.ModelProto:
        hidden, residual = self._embed()
        for layer in range(self.shape.layers):
            hidden, residual = self._layer(layer, hidden, residual)
        g = self.graph
        g.node("ReduceMean", [hidden, g.constant("token_axis", np.array([1]))], "mean", keepdims=0)
        g.node("LpNormalization", ["mean"], "embedding", axis=1, p=2)
        dimension = self.weights["embeddings.LayerNorm.weight"].shape[0]
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])
        out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, dimension])
        model = helper.make_model(
            helper.make_graph(g.nodes, "sentence_encoder", [ids], [out], g.constants),
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            producer_name="semcache training/export_encoder.py",
        )
        model.ir_version = IR_VERSION
        return model

    def _embed(self) -> tuple[str, str]:
        g, w = self.graph, self.weights
        table = w["embeddings.word_embeddings.weight"]
        if self.peaks is None:
            g.node("Gather", [g.constant("words", table), "input_ids"], "word")
        else:
            rounded, scale = quantised(table, 1, TABLE_LIMIT)
            g.node("Gather", [g.constant("words", rounded), "input_ids"], "word.int8")
            g.node("Cast", ["word.int8"], "word.cast", to=TensorProto.FLOAT)
            g.node("Gather", [g.constant("words.scale", scale), "input_ids"], "word.scale")
            g.node("Mul", ["word.cast", "word.scale"], "word")
        positions = w["embeddings.position_embeddings.weight"][: self.shape.max_tokens]
        positions = positions + w["embeddings.token_type_embeddings.weight"][0]
        g.node("Shape", ["input_ids"], "tokens", start=1, end=2)
        starts, axes = g.constant("zero", np.array([0])), g.constant("one", np.array([1]))
        table_name = g.constant("positions", positions[None])
        g.node("Slice", [table_name, starts, "tokens", axes], "position")
        return self._norm(("word", "position"), "embeddings.LayerNorm", "embedded", self._qkv(0)[0])

    def _layer(self, layer: int, hidden: str, residual: str) -> tuple[str, str]:
        g, prefix, name = self.graph, f"encoder.layer.{layer}.", f"layer{layer}"
        attended = self._attention(layer, hidden)
        projected = self._linear(attended, prefix + "attention.output.dense", f"{name}.projected")
        widen = self.weights[prefix + "intermediate.dense.weight"].T
        middle, kept = self._norm(
            (projected, residual), prefix + "attention.output.LayerNorm", f"{name}.attended", widen
        )
        wide = self._linear(
            middle, prefix + "intermediate.dense", f"{name}.wide", f"{name}.attended"
        )
        gelu = g.fused("Gelu", [wide], f"{name}.gelu")
        if (scale := self._smoothing(gelu)) is not None:
            inverse = g.constant(f"{gelu}.inverse", (1 / scale).astype(np.float32))
            narrow_in = g.node("Mul", [gelu, inverse], f"{gelu}.smooth")
        else:
            narrow_in = gelu
        narrow = self._linear(narrow_in, prefix + "output.dense", f"{name}.narrow", gelu)
        following = self._qkv(layer + 1)[0] if layer + 1 < self.shape.layers else None
        return self._norm((narrow, kept), prefix + "output.LayerNorm", f"{name}.normed", following)

    def _attention(self, layer: int, hidden: str) -> str:
        g, name, heads = self.graph, f"layer{layer}.qkv", self.shape.heads
        weight, bias = self._qkv(layer)
        bias_name = g.constant(f"{name}.bias", bias)
        context = f"layer{layer}.context"
        if self.peaks is None:
            inputs = [hidden, g.constant(f"{name}.weight", weight), bias_name]
            return g.fused("Attention", inputs, context, num_heads=heads)
        if (scale := self._smoothing(hidden)) is not None:
            weight = weight * scale[:, None]
        rounded, scales, zeros = self._int8(name, weight)
        x, x_scale, x_zero = f"{name}.in", f"{name}.in.scale", f"{name}.in.zero"
        g.node("DynamicQuantizeLinear", [hidden], x, x_scale, x_zero)
        inputs = [x, rounded, bias_name, x_scale, scales, "", x_zero, zeros]
        return g.fused("QAttention", inputs, context, num_heads=heads)

    def _qkv(self, layer: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Q, K and V as one matrix ``[d, 3d]`` and one bias ``[3d]``."""
        at = f"encoder.layer.{layer}.attention.self."
        parts = [at + part for part in ("query", "key", "value")]
        weight = np.concatenate([self.weights[p + ".weight"] for p in parts]).T
        return weight, np.concatenate([self.weights[p + ".bias"] for p in parts])

    def _linear(self, x: str, module: str, out: str, smoothed: str | None = None) -> str:
        """``x @ W + b``; ``smoothed`` names the tensor whose smoothing ``x`` went through."""
        g = self.graph
        weight, bias = self.weights[module + ".weight"].T, self.weights[module + ".bias"]
        bias_name = g.constant(f"{out}.bias", bias)
        if self.peaks is None:
            g.node("MatMul", [x, g.constant(f"{out}.weight", weight)], f"{out}.product")
            return g.node("Add", [f"{out}.product", bias_name], out)
        if smoothed is not None and (scale := self._smoothing(smoothed)) is not None:
            weight = weight * scale[:, None]
        return g.fused("DynamicQuantizeMatMul", [x, *self._int8(out, weight), bias_name], out)

    def _int8(self, name: str, weight: NDArray[np.float32]) -> tuple[str, str, str]:
        """Weight, scales and zero points of a matrix ``[in, out]``, one scale a column."""
        rounded, scale = quantised(weight, 0, MATMUL_LIMIT)
        g = self.graph
        zeros = np.zeros(weight.shape[1], np.int8)
        return (
            g.constant(f"{name}.weight", rounded),
            g.constant(f"{name}.scale", scale[0]),
            g.constant(f"{name}.zero", zeros),
        )

    def _norm(
        self, summands: tuple[str, str], module: str, out: str, feeds: NDArray[np.float32] | None
    ) -> tuple[str, str]:
        """LayerNorm of a sum, as (input of the next matmul, residual of the next norm).

        ``feeds`` is the matrix that reads it, or None where nothing does: then nothing is smoothed.
        """
        g = self.graph
        gain, bias = self.weights[module + ".weight"], self.weights[module + ".bias"]
        scale = None if feeds is None else self._smoothing(out)
        if scale is not None:
            gain, bias = gain / scale, bias / scale
        inputs = [*summands, g.constant(f"{out}.gain", gain), g.constant(f"{out}.bias", bias)]
        g.fused("SkipLayerNormalization", inputs, out, epsilon=EPSILON)
        if scale is None:
            return out, out
        return out, g.node("Mul", [out, g.constant(f"{out}.smoothing", scale)], f"{out}.residual")

    def _smoothing(self, tensor: str) -> NDArray[np.float32] | None:
        if self.peaks is None or tensor not in self.peaks:
            return None
        peak = self.peaks[tensor]
        scale = np.sqrt(np.maximum(1.0, peak / np.median(peak)))
        # Steps of 1/16: the peaks come from float kernels, whose last bits differ between machines,
        # and the exported file should not.
        stepped: NDArray[np.float32] = (np.rint(scale * 16) / 16).astype(np.float32)
        return stepped
