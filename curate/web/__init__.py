"""What all pages in a browser share: a loopback server, its guard against other sites, and static files.

In: an ASGI application and the folder of its page. Out: a running server that refuses requests from other sites and
slow, large or endless ones.
Builds on `system`. `train serve` uses it too.
"""
