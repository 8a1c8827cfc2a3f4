"""What runs the graphs: a protocol, its implementation on ONNX Runtime, and the set kept in memory."""
