"""The emotion wheel: open-vocabulary labels compared through shared emotion families."""
