"""A check of graphs against the documentation of TensorRT's ONNX parser, on a CPU and without TensorRT."""
