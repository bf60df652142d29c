"""The REST API under `/api/v1/`: one resource per file.

A view parses the request, finds its object through `access`, calls one service and answers. It
never writes a model, never calls Ray or the storage, and never builds an error response: it
raises, and `problems` answers in `application/problem+json`.
"""
