"""The decoder in the form of GPT-NeoX, which `transformers` loads: the same sums in another order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scaling.models.options import heads_for
from scaling.models.sizes import Shape


def to_config(shape: Shape, vocab: int, context: int, end: int | None = None) -> dict[str, Any]:
    """What `transformers.GPTNeoXForCausalLM` needs to know; `end` is the id that ends a document."""
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "vocab_size": vocab,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": heads_for(shape.width),
        "intermediate_size": 4 * shape.width,
        "hidden_act": "gelu",
        "max_position_embeddings": context,
        "layer_norm_eps": 1e-5,
        "rotary_pct": 1.0,
        "rotary_emb_base": 10000,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0
        },  # rotary_* in the words of transformers 5
        "use_parallel_residual": False,
        "attention_bias": True,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": end,
        "dtype": "float32",
    }  # fmt: skip


def to_weights(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """A decoder's `state_dict` under the names of GPT-NeoX, with biases of zero.

    There queries, keys and values stand together by head, and a rotary pair is channel i with i + d/2, where
    here it is 2i with 2i + 1.
    """
    heads = heads_for(shape.width)
    found = {"gpt_neox.embed_in.weight": state["embedding.weight"], "embed_out.weight": state["head.weight"]}
    _norm(found, "gpt_neox.final_layer_norm", state["norm.gain"])
    for layer in range(shape.depth):
        ours, theirs = f"blocks.{layer}.", f"gpt_neox.layers.{layer}."
        _norm(found, theirs + "input_layernorm", state[ours + "attention_norm.gain"])
        _norm(found, theirs + "post_attention_layernorm", state[ours + "mlp_norm.gain"])
        q, k, v = state[ours + "attention.qkv.weight"].view(3, heads, -1, shape.width)
        together = torch.stack((_halves(q), _halves(k), v), dim=1).flatten(0, 2)
        _linear(found, theirs + "attention.query_key_value", together)
        _linear(found, theirs + "attention.dense", state[ours + "attention.out.weight"])
        _linear(found, theirs + "mlp.dense_h_to_4h", state[ours + "up.weight"])
        _linear(found, theirs + "mlp.dense_4h_to_h", state[ours + "down.weight"])
    return {name: tensor.contiguous() for name, tensor in found.items()}


def _halves(x: Tensor) -> Tensor:
    """Channels (heads, d, width): the first of each pair, then the second of each."""
    return torch.cat((x[:, 0::2], x[:, 1::2]), dim=1)


def _norm(found: dict[str, Tensor], name: str, gain: Tensor) -> None:
    found[f"{name}.weight"] = gain
    found[f"{name}.bias"] = torch.zeros_like(gain)


def _linear(found: dict[str, Tensor], name: str, weight: Tensor) -> None:
    found[f"{name}.weight"] = weight
    found[f"{name}.bias"] = weight.new_zeros(len(weight))
