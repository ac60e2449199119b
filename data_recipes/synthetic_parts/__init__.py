"""The parts of the synthetic corpus generator (`data_recipes/synthetic.py`)."""
