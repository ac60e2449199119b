"""affect_mllm: train and evaluate emotion multimodal LLMs (see docs/design.md)."""

from affect_mllm import auto_classes, log

auto_classes.install()
log.hush()
