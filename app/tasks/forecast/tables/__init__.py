"""Tables as people have them, as series: one reader for the API, the page, the shell and training."""
