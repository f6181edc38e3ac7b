"""Training: the cache of teacher features, fit with exact resume, and the pre-training of the embedded teacher."""
