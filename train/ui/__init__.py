"""`train serve`: a page to draw on and see it coloured. Needs the extra `ui`.

studio    models ready to colour what a page sends
app       the page's requests, answered by FastAPI
page/     HTML, style and scripts, sent as they are: no build, nothing from other hosts
"""
