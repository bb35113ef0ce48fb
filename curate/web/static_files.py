"""The static files of a page: its own, and those that all pages share."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath

from fastapi import APIRouter, HTTPException, Response

MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SHARED_PACKAGE = "curate.web"
"""The package whose `shared` folder is served with every page."""


def read_page_files(package: str) -> dict[str, tuple[bytes, str]]:
    """Return bytes and media type of a page's files, by name. Requests only look up this dict, never the disk."""
    folders = (files(SHARED_PACKAGE) / "shared", files(package) / "page")
    contents = {file.name: file.read_bytes() for folder in folders for file in folder.iterdir()}
    types = {name: MEDIA_TYPES.get(PurePath(name).suffix) for name in contents}
    return {name: (data, kind) for name, data in contents.items() if (kind := types[name])}


def page_router(package: str) -> APIRouter:
    """Return routes that serve the page of a package; its files are read once, now."""
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
