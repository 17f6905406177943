"""The verifier as an ONNX graph: the encoder's layers (see `encoder_graph`), another start and end.

Inputs ``input_ids`` and ``token_types`` int64 ``[1, n]``, one pair a run, no padding. Output
``logit`` float32 ``[1]``. The head is not quantised (its matrix is kept as float16, 1.2 MB): it
is the one place where a rounding reaches the score directly.
"""

from __future__ import annotations

import numpy as np
import onnx
from encoder_graph import (
    IR_VERSION,
    MICROSOFT,
    OPSET,
    Peaks,
    Shape,
    Weights,
    _Builder,
    smoothed_tensors,
)
from onnx import TensorProto, helper
from verifier_model import Verifier

__all__ = ["Shape", "bert_weights", "float_graph", "int8_graph", "smoothed_tensors"]


def bert_weights(model: Verifier) -> Weights:
    """The module's tensors by their BERT names, and the head's by their own; float32."""
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    named = {
        "embeddings.word_embeddings.weight": state["words.weight"],
        "embeddings.position_embeddings.weight": state["positions.weight"],
        "embeddings.token_type_embeddings.weight": state["types.weight"],
    }
    modules = {"embeddings.LayerNorm": "embedded"}
    for i in range(model.sizes["layers"]):
        theirs, ours = f"encoder.layer.{i}.", f"layers.{i}."
        modules[theirs + "attention.output.dense"] = ours + "out"
        modules[theirs + "attention.output.LayerNorm"] = ours + "attended"
        modules[theirs + "intermediate.dense"] = ours + "wide"
        modules[theirs + "output.dense"] = ours + "narrow"
        modules[theirs + "output.LayerNorm"] = ours + "normed"
        for part in ("weight", "bias"):
            split = np.split(state[f"{ours}qkv.{part}"], 3)
            for name, tensor in zip(("query", "key", "value"), split, strict=True):
                named[f"{theirs}attention.self.{name}.{part}"] = tensor
    for theirs, ours in {**modules, "hidden": "hidden", "score": "score"}.items():
        for part in ("weight", "bias"):
            named[f"{theirs}.{part}"] = state[f"{ours}.{part}"]
    return named


def float_graph(weights: Weights, shape: Shape) -> onnx.ModelProto:
    """The float32 verifier: the reference for fidelity, and what calibration runs."""
    return _PairBuilder(weights, shape, None).model()


def int8_graph(weights: Weights, shape: Shape, peaks: Peaks) -> onnx.ModelProto:
    """The int8 verifier, smoothed by the channel ``peaks`` that the float one showed."""
    return _PairBuilder(weights, shape, peaks).model()


class _PairBuilder(_Builder):
    def model(self) -> onnx.ModelProto:
        hidden, residual = self._embed()
        for layer in range(self.shape.layers):
            hidden, residual = self._layer(layer, hidden, residual)
        self._head(hidden)
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, [1, "tokens"])
            for name in ("input_ids", "token_types")
        ]
        out = helper.make_tensor_value_info("logit", TensorProto.FLOAT, [1])
        model = helper.make_model(
            helper.make_graph(self.graph.nodes, "verifier", inputs, [out], self.graph.constants),
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
            producer_name="semcache training/export_verifier.py",
        )
        model.ir_version = IR_VERSION
        return model

    def _embed(self) -> tuple[str, str]:
        """The encoder's, where the token types are looked up instead of folded in."""
        g, w = self.graph, self.weights
        types = w["embeddings.token_type_embeddings.weight"]
        table = g.constant("types", (types - types[0]).astype(np.float32))
        hidden, residual = super()._embed()
        g.node("Gather", [table, "token_types"], "type")
        g.node("Add", ["position", "type"], "placed")
        first = next(i for i, node in enumerate(g.nodes) if "position" in node.input)
        norm = g.nodes[first]
        assert norm.op_type == "SkipLayerNormalization", norm.op_type
        norm.input[list(norm.input).index("position")] = "placed"
        gather, add = g.nodes[-2:]
        del g.nodes[-2:]
        g.nodes[first:first] = [gather, add]
        return hidden, residual

    def _head(self, hidden: str) -> None:
        """``[CLS; mean a; mean b; |mean a - mean b|]``, one hidden layer, one logit."""
        g, w = self.graph, self.weights
        tokens, one, two = (
            g.constant("token_axis", np.array([1])),
            g.constant("one.float", np.array([1], np.float32)),
            g.constant("two", np.array([2])),
        )
        g.node("Mod", ["token_types", two], "second.int")
        g.node("Cast", ["second.int"], "second.flat", to=TensorProto.FLOAT)
        g.node("Unsqueeze", ["second.flat", g.constant("last_axis", np.array([2]))], "second")
        g.node("Sub", [one, "second"], "first")
        for half in ("first", "second"):
            g.node("Mul", [hidden, half], f"{half}.tokens")
            g.node("ReduceSum", [f"{half}.tokens", tokens], f"{half}.sum", keepdims=0)
            g.node("ReduceSum", [half, tokens], f"{half}.count", keepdims=0)
            g.node("Div", [f"{half}.sum", f"{half}.count"], f"{half}.mean")
        g.node("Sub", ["first.mean", "second.mean"], "apart.signed")
        g.node("Abs", ["apart.signed"], "apart")
        g.node("Gather", [hidden, g.constant("cls", np.array([0]))], "cls.kept", axis=1)
        g.node("Squeeze", ["cls.kept", tokens], "cls.token")
        g.node("Concat", ["cls.token", "first.mean", "second.mean", "apart"], "pooled", axis=1)
        half = g.constant("hidden.half", w["hidden.weight"].T.astype(np.float16))
        g.node("Cast", [half], "hidden.weight", to=TensorProto.FLOAT)
        g.node("MatMul", ["pooled", "hidden.weight"], "hidden.product")
        g.node("Add", ["hidden.product", g.constant("hidden.bias", w["hidden.bias"])], "hidden.sum")
        g.fused("Gelu", ["hidden.sum"], "features")
        g.node("MatMul", ["features", g.constant("score.weight", w["score.weight"][0])], "scored")
        g.node("Add", ["scored", g.constant("score.bias", w["score.bias"])], "logit")
