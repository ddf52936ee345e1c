"""The kinds of layers, one file each; `layer` says what all of them have."""
