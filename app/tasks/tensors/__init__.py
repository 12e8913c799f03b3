"""Tensors of the Open Inference Protocol, and what they mean to each task.

JSON and bytes --codec--> Tensor --forecast, sentiment, generate--> the task's own requests
                                 <--                            -- and answers

Pure: nothing here runs a model.
"""
