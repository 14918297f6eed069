"""A tiny random Llama with a real byte-level tokenizer, for tests that run the real engine and learner."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

_CORPUS = """def add(a, b):
    return a + b

def clamp(x, low, high):
    if x < low:
        return low
    elif x > high:
        return high
    return x

for i in range(10):
    print(i)
    while i > 0:
        i -= 1
```python
def main():
    n = int(input())
    if n % 2 == 0:
        print("even")
    else:
        print("odd")
main()
```
<|im_start|>user
Write a function that returns the sum of a list.<|im_end|>
<|im_start|>assistant
"""

_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of about 320 tokens that merges newlines with indents: decode(encode(s)) == s for all text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_CORPUS] * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_tiny_model(directory: str | Path, seed: int = 0, **shape: int) -> Path:
    """Write a 2-layer Llama (hidden 64, tied embeddings, float32) and its tokenizer to `directory`. `shape`: what is to
    be otherwise, by the names of LlamaConfig."""
    directory = Path(directory)
    tokenizer = build_tiny_tokenizer()
    settings: dict[str, Any] = dict(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
        dtype="float32",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**(settings | shape)))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
