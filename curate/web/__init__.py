"""What every page in a browser shares: a loopback server, its guard against strangers, static files.

In: a FastAPI application and the folder of its page. Out: a running server that only this machine can reach.
Builds on `system`. `train serve` uses it too.
"""
