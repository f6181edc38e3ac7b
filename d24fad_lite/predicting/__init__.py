"""A folder of images in, scores and heatmaps out."""
