"""Files to NumPy arrays: video, audio, faces. No torch at import, no tokenizer."""
