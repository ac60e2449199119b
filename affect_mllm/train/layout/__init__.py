"""Where a model runs: processes, precision, sharding, gradients, engine state."""
