"""What a request means: request -> supplied steps, feedback and stop rules; outputs -> answer.

Pure: no sockets, no threads, no ONNX Runtime. One folder per task.
"""
