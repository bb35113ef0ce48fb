"""The files of a page, sent as they are: its own, and those that all pages share."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath

from fastapi import APIRouter, HTTPException, Response

MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SHARED_PACKAGE = "curate.web"
"""The package whose `shared` folder every page may ask for."""


def read_page_files(package: str) -> dict[str, tuple[bytes, str]]:
    """Bytes and type of each file of a package's page, by the path that it is asked for: no visitor names a file."""
    folders = (files(SHARED_PACKAGE) / "shared", files(package) / "page")
    found = {one.name: one.read_bytes() for folder in folders for one in folder.iterdir()}
    known = {name: PurePath(name).suffix for name in found}
    return {name: (data, MEDIA_TYPES[known[name]]) for name, data in found.items() if known[name] in MEDIA_TYPES}


def page_router(package: str) -> APIRouter:
    """Answers with the page of a package, which is read once."""
    page = read_page_files(package)
    routes = APIRouter()

    @routes.get("/", include_in_schema=False)
    @routes.get("/{name}", include_in_schema=False)
    def file(name: str = "index.html") -> Response:
        if name not in page:
            raise HTTPException(404, "there is nothing here")
        data, kind = page[name]
        return Response(data, media_type=kind, headers={"cache-control": "no-cache"})

    return routes
