"""Vision-language models whose own towers and mergers are trained."""
