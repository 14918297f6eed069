"""A GGUF model as a Hugging Face directory. A program: `python gguf.py SOURCE OUT`."""

import sys
from pathlib import Path

# What a tokenizer must give back unchanged: indents, tabs, blank lines, quotes, non-ASCII, a fence.
ROUND_TRIP = 'def f(a, b):\n    if a != b:\n\t\treturn {"é": [1, -2.5e3]}\n\n\n        # 日本 ✓\n    return None\n```\n'


def convert_gguf(source: Path, out: Path) -> None:
    """Write the GGUF model `source` to `out` as bf16 safetensors with its tokenizer and chat template.

    save_pretrained refuses a model that came from a quantised file, so the weights go into one
    that is built from a configuration without the trace of quantisation.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, name = str(source.parent), source.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    if tokenizer.decode(tokenizer(ROUND_TRIP).input_ids) != ROUND_TRIP:
        raise RuntimeError(f"the tokenizer read from {source} does not give code back unchanged")
    unpacked = GgufConfig(gguf_file=name, dequantize=True)  # never the packed kernels, which some machines have
    quantised = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.bfloat16, quantization_config=unpacked
    )
    settings = quantised.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path", "transformers_version"):
        settings.pop(key, None)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(quantised.state_dict())
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
