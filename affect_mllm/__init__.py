"""affect_mllm: train and evaluate emotion multimodal LLMs (see docs/design.md)."""

from affect_mllm import auto_classes

auto_classes.install()
