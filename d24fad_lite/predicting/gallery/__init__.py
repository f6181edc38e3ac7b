"""The page to look at after a prediction: one HTML file."""
