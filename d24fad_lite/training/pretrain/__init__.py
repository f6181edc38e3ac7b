"""Pre-training of the embedded teacher on formula-driven images: no photograph, no patient, labels for free."""
