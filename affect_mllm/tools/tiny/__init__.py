"""`affect-mllm tiny`: any experiment with random weights of few parameters and a few clips."""
