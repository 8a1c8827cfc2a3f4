"""What runs the graphs: the protocol, its ONNX Runtime implementation, and the set of sessions kept in memory."""
