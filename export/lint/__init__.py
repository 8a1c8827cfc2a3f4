"""Graphs against what TensorRT's ONNX parser documents, on a CPU and without TensorRT."""
