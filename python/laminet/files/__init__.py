"""Files, whole or not at all: networks, samples, and what comes of samples."""
