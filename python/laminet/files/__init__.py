"""Files, written whole or not at all: networks, and samples with what comes of them."""
