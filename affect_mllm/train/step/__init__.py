"""One step: batches, agreeing on them, forward, backward, update, validation."""
