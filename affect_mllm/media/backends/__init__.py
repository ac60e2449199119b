"""One file a decoding library; each decodes what `media.video` and `media.audio` have chosen."""
