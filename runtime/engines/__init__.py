"""What runs the experts and the other graphs: ONNX Runtime, OpenVINO, and compiled engines."""
