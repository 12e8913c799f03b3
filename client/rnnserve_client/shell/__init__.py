"""A server from the terminal: ``ask`` and ``session``. What a task takes, the server's document says.

words --fields of the document--> request --client--> answer --lines--> terminal
"""
