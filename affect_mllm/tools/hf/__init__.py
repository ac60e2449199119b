"""An exported model as transformers sees it: configuration, model and processor."""
