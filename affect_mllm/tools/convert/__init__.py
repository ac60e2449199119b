"""Converters: from what a package carries to an ordinary Hugging Face or safetensors folder."""
