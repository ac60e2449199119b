"""The subcommands of `affect-mllm`."""
