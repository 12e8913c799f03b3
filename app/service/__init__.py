"""The one inference path for every transport: find, prepare, submit, finish, time, count.

Routes and sockets translate to and from this; nothing else decides anything about a request.
"""
