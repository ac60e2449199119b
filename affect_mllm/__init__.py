"""affect_mllm: train and evaluate emotion multimodal LLMs (see docs/design.md)."""
