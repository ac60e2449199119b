"""A checkpoint as a chat model of lmms-eval: `python -m lmms_eval --model affect_mllm …`."""
