"""The verifier as a PyTorch module: BERT over a pair, and a head that compares the two halves.

Theory of operation
-------------------
One sequence ``[CLS] a [SEP] b [SEP]``, one logit of "one answer serves both". Three things differ
from the usual cross-encoder, and each can be written into an ONNX graph with a few nodes:

* **The leftovers are marked.** The token type says which text a token is in *and* whether the
  longest common subsequence of the two texts leaves it over: ``type = text + 2 * leftover`` (see
  `token_types`). Where the two texts agree there is nothing to decide; a model of six layers need
  not find out by attention where they don't. A subsequence and not a set, so that exchanged words
  (A to B, B to A) are left over too. The two new rows start as copies of the two that exist, so
  training starts from BERT.
* **The head sees both halves**: ``[CLS; mean a; mean b; |mean a − mean b|]`` after the last layer,
  symmetric in its last part, since the base is a sentence encoder whose means can be compared.
* **No padding anywhere.** A batch holds pairs of exactly one length, so there is no mask, and the
  exported graph computes for one pair what training computed.

The word table is frozen: it is half of the parameters, and most of its rows never occur in the
training pairs. Freezing it keeps rare words (names, drugs, tickers) where pre-training put them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from verifier_data import SEP

TOKEN_TYPES = 4
EPSILON = 1e-12  # BERT's own


def token_types(ids: Sequence[int]) -> list[int]:
    """Type of each token of ``[CLS] a [SEP] b [SEP]``: its text (0, 1), plus 2 where it is left
    over by the longest common subsequence of the two texts. Special tokens are never left over.

    >>> token_types([101, 7, 8, 102, 7, 9, 102])
    [0, 0, 2, 0, 1, 3, 1]
    >>> token_types([101, 7, 8, 9, 102, 9, 8, 7, 102])  # "7 to 9" and "9 to 7"
    [0, 2, 2, 0, 0, 1, 3, 3, 1]
    """
    middle = list(ids).index(SEP)
    first, second = common_subsequence(ids[1:middle], ids[middle + 1 : -1])
    before = [2 * (i not in first) for i in range(middle - 1)]
    after = [1 + 2 * (i not in second) for i in range(len(ids) - middle - 2)]
    return [0, *before, 0, *after, 1]


def common_subsequence(a: Sequence[int], b: Sequence[int]) -> tuple[set[int], set[int]]:
    """Positions in ``a`` and in ``b`` of one longest common subsequence (the same one that
    semcache.verifiers.local finds)."""
    rows = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        row, below, x = rows[i], rows[i + 1], a[i]
        for j in range(len(b) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if x == b[j] else max(below[j], row[j + 1])
    i = j = 0
    first: set[int] = set()
    second: set[int] = set()
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            first.add(i)
            second.add(j)
            i, j = i + 1, j + 1
        elif rows[i + 1][j] >= rows[i][j + 1]:
            i += 1
        else:
            j += 1
    return first, second


class Layer(nn.Module):
    """A BERT layer without dropout: one to two epochs do not need it, and a CPU feels it."""

    def __init__(self, width: int, wide: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.attended = nn.LayerNorm(width, eps=EPSILON)
        self.wide = nn.Linear(width, wide)
        self.narrow = nn.Linear(wide, width)
        self.normed = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(q, k, v)
        context = context.transpose(1, 2).reshape(batch, tokens, width)
        x = self.attended(x + self.out(context))
        return self.normed(x + self.narrow(functional.gelu(self.wide(x))))


class Verifier(nn.Module):
    """``logits [n]`` and ``kinds [n, k]`` of pairs of one length ``[n, t]``."""

    def __init__(self, layers: int, width: int, wide: int, heads: int, words: int, kinds: int):
        super().__init__()
        self.sizes = {
            "layers": layers,
            "width": width,
            "wide": wide,
            "heads": heads,
            "words": words,
            "kinds": kinds,
        }
        self.frozen: int | None = None
        self.words = nn.Embedding(words, width)
        self.positions = nn.Embedding(512, width)
        self.types = nn.Embedding(TOKEN_TYPES, width)
        self.embedded = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.ModuleList(Layer(width, wide, heads) for _ in range(layers))
        self.hidden = nn.Linear(4 * width, width)
        self.score = nn.Linear(width, 1)
        self.kind = nn.Linear(width, kinds)
        nn.init.zeros_(self.score.bias)

    def forward(self, ids: Tensor, types: Tensor) -> tuple[Tensor, Tensor]:
        where = torch.arange(ids.shape[1], device=ids.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen is None):
            x = self.embedded(self.words(ids) + self.positions(where) + self.types(types))
        for i, layer in enumerate(self.layers):
            below = self.frozen is not None and i < self.frozen
            with torch.set_grad_enabled(torch.is_grad_enabled() and not below):
                x = layer(x)
        features = functional.gelu(self.hidden(self.pooled(x, types)))
        return self.score(features)[:, 0], self.kind(features)

    def freeze(self, layers: int) -> None:
        """Train no longer the embeddings and the first ``layers``: no backward pass there."""
        self.frozen = layers
        for module in (self.positions, self.types, self.embedded, *self.layers[:layers]):
            module.requires_grad_(False)

    @staticmethod
    def pooled(x: Tensor, types: Tensor) -> Tensor:
        second = (types % 2).to(x.dtype)[..., None]
        b = (x * second).sum(1) / second.sum(1)
        a = (x * (1 - second)).sum(1) / (1 - second).sum(1)
        return torch.cat([x[:, 0], a, b, (a - b).abs()], 1)


def from_bert(folder: Path, kinds: int) -> Verifier:
    """A verifier whose body is the BERT in ``folder``, with a new head."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    w = {k.removeprefix("bert."): v for k, v in load_file(folder / "model.safetensors").items()}
    model = Verifier(
        config["num_hidden_layers"],
        config["hidden_size"],
        config["intermediate_size"],
        config["num_attention_heads"],
        config["vocab_size"],
        kinds,
    )
    types = w["embeddings.token_type_embeddings.weight"]
    state = {
        "words.weight": w["embeddings.word_embeddings.weight"],
        "positions.weight": w["embeddings.position_embeddings.weight"],
        "types.weight": torch.cat([types, types]),
    }
    names = {"embedded": "embeddings.LayerNorm"}
    for i in range(config["num_hidden_layers"]):
        theirs, ours = f"encoder.layer.{i}.", f"layers.{i}."
        names[ours + "out"] = theirs + "attention.output.dense"
        names[ours + "attended"] = theirs + "attention.output.LayerNorm"
        names[ours + "wide"] = theirs + "intermediate.dense"
        names[ours + "narrow"] = theirs + "output.dense"
        names[ours + "normed"] = theirs + "output.LayerNorm"
        for part in ("weight", "bias"):
            qkv = [f"{theirs}attention.self.{name}.{part}" for name in ("query", "key", "value")]
            state[f"{ours}qkv.{part}"] = torch.cat([w[name] for name in qkv])
    for ours, theirs in names.items():
        for part in ("weight", "bias"):
            state[f"{ours}.{part}"] = w[f"{theirs}.{part}"]
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert all(name.startswith(("hidden", "score", "kind")) for name in missing), missing
    model.words.weight.requires_grad_(False)
    return model


def save(model: Verifier, path: Path) -> None:
    """Weights and sizes, as one safetensors file, written whole or not at all."""
    part = path.with_suffix(".part")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, part, {"sizes": json.dumps(model.sizes)})
    part.replace(path)


def load(path: Path) -> Verifier:
    """What `save` wrote."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        sizes = json.loads(file.metadata()["sizes"])
    model = Verifier(**sizes)
    model.load_state_dict(load_file(path))
    model.words.weight.requires_grad_(False)
    return model


@torch.inference_mode()
def score(
    model: Verifier, encoded: Sequence[Sequence[int]], batch: int = 64
) -> NDArray[np.float32]:
    """Logits of token lists ``[n]``, bucketed by length."""
    model.eval()
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    logits = np.zeros(len(encoded), np.float32)
    start = 0
    while start < len(order):
        length = len(encoded[order[start]])
        stop = start
        while stop < len(order) and stop - start < batch and len(encoded[order[stop]]) == length:
            stop += 1
        rows = order[start:stop]
        ids = torch.tensor([list(encoded[i]) for i in rows])
        types = torch.tensor([token_types(encoded[i]) for i in rows])
        logits[rows] = model(ids, types)[0].numpy()
        start = stop
    return logits
