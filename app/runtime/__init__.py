"""Arrays and ONNX Runtime: sessions, state rows, sampling, and the executor that joins them."""
