"""The training loop, its losses, optimiser, checkpoints and callbacks."""
