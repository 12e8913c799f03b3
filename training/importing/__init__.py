"""From an ONNX file whose states are inputs and outputs to a bundle; needs no PyTorch.

options --read_source--> graph --find_border--> inputs, states, outputs and their axes
        --build--------> packed graph --compared with the original--> bundle
"""
