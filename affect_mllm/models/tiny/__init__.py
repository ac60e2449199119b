"""Random weights of few parameters, as folders that are loaded like published ones."""
