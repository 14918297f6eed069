"""Which models can be trained on packed rows: those whose packed computation equals the padded one.

It must be known before a run starts, since a model outside would train on wrong numbers without an error.
"""

from typing import Any

from transformers import PreTrainedConfig

from stepcoder.learner.networks.heads import require_known_head

# Model types whose attention learner/networks/attention.py computes and whose positions come from `position_ids` alone
# (tests/learner/test_packing.py compares each with plain transformers).
PACKABLE = frozenset(
    {
        "gemma", "gpt2", "gpt_neox", "granite", "llama", "mistral", "olmo2", "phi", "phi3", "qwen2", "qwen3", "smollm3",
        "starcoder2",
    }
)  # fmt: skip

# Rotary embeddings whose angles depend on the length of the longest sequence beyond these positions.
LENGTH_DEPENDENT = ("dynamic", "longrope")


def require_packable(config: PreTrainedConfig, longest: int | None = None) -> None:
    """Raises ValueError unless packed rows are exact for prompts with completions of up to `longest` tokens in all.

    Without `longest` what depends on it passes; the attention refuses a row that is longer than a sliding window.
    """
    kind = config.model_type
    if config.is_encoder_decoder:
        raise ValueError(f"a {kind} model is an encoder-decoder; a causal language model is needed")
    if kind not in PACKABLE:
        raise ValueError(
            f"a {kind} model is not known to compute the same in packed rows as one sequence at a time (as ALiBi, "
            f"state spaces and other attention do not); known are {', '.join(sorted(PACKABLE))}"
        )
    for name in ("use_bidirectional_attention", "add_cross_attention"):
        if getattr(config, name, None):
            raise ValueError(f"{name} is set in its config.json; only causal self-attention can be packed")
    require_known_head(config)
    if longest is None:
        return
    window = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None) or ["sliding_attention"]
    if window is not None and "sliding_attention" in layers and longest > window:
        raise ValueError(
            f"it sees {window} tokens (sliding_window), and packed rows have no window: a prompt and its "
            f"completion may have {longest}"
        )
    for rope in _ropes(config):
        limit = rope.get("original_max_position_embeddings") or getattr(config, "max_position_embeddings", longest)
        if rope.get("rope_type") in LENGTH_DEPENDENT and longest > limit:
            raise ValueError(
                f"its rotary embedding ({rope['rope_type']}) changes when a sequence is longer than {limit} tokens, so "
                f"sequences in a row would change each other: a prompt and its completion may have {longest}"
            )


def _ropes(config: PreTrainedConfig) -> list[dict[str, Any]]:
    """The rotary settings: one for all layers, or one for each kind of layer."""
    found = getattr(config, "rope_parameters", None) or {}
    return [found] if "rope_type" in found else [v for v in found.values() if isinstance(v, dict)]
