"""`affect-mllm demo`: a page on this machine on which a checkpoint, or two, are tried."""
