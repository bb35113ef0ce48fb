"""`curate browse`: a page to look at a dataset and overrule it. Needs the extra `ui`.

server    a socket, and uvicorn on it
guard     what every request must pass: host, origin, size, time
app       the page's requests, answered by FastAPI
review    a dataset that others may write meanwhile, and what people decided of it
pages     the files of a page, and of `shared/`, which all pages may ask for
page/     HTML, style and scripts, sent as they are: no build, nothing from other hosts
"""
