"""Engines that run the experts and the other graphs: ONNX Runtime, OpenVINO, and compiled engines."""
