"""The learner's end of a weight update without an engine: which transfer is chosen, what is refused."""

import pytest
import torch

from stepcoder.rollout.engines import choose_backend
from stepcoder.rollout.weights import WeightPublisher


def test_tensors_in_another_order_are_refused_before_anything_is_sent_wrong() -> None:
    named = [("first", torch.zeros(2, 3)), ("second", torch.zeros(3))]
    publisher = WeightPublisher("gloo", "float32", rank=1)
    publisher.connect([], [(name, tuple(tensor.shape)) for name, tensor in named])
    publisher.publish(named, 8)
    with pytest.raises(ValueError, match="order of connect"):
        publisher.publish(reversed(named), 9)


@pytest.mark.parametrize(
    ("learner", "engine", "same_gpu", "backend"),
    [
        ("cpu", "cpu", False, "gloo"),
        ("cuda", "cpu", False, "gloo"),
        ("cuda", "cuda", False, "nccl"),
        ("cuda", "cuda", True, "ipc"),
    ],
)
def test_the_backend_follows_from_where_things_are(learner: str, engine: str, same_gpu: bool, backend: str) -> None:
    assert choose_backend("vllm", learner, engine, same_gpu) == backend
    assert choose_backend("transformers", learner, engine, same_gpu) == "gloo"


def test_a_learner_on_cpus_cannot_feed_gpus() -> None:
    with pytest.raises(ValueError, match="give the learner GPUs"):
        choose_backend("vllm", "cpu", "cuda", False)
    with pytest.raises(ValueError, match="expected 'cpu' or 'cuda'"):
        choose_backend("vllm", "tpu", "cpu", False)
