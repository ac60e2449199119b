"""`affect-mllm serve`: a checkpoint behind OpenAI's chat completions."""
