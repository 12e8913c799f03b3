"""The edge: parse, call the service, write. One short file per resource.

bytes --body.py--> request --service--> answer --routing.py--> bytes
any failure --errors.py--> application/problem+json, or an error frame
"""
