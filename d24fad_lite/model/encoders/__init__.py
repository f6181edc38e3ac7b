"""Encoders beside timm's plain names: transformers' formats, which image sizes fit, and how a file describes one."""
