"""A detector with its supports as one file for ONNX Runtime or PyTorch, from the image as it was read to its score."""
