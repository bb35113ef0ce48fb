"""The page's requests: the page itself, the models, a drawing coloured. Described at /api/openapi.json."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Body, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from curate.web import static_files
from train.coloring.colorize import ColorizeOptions, TagPrompt
from train.data import tags
from train.errors import NurieError
from train.serving.loaded_models import LoadedModels, ModelInfo

TagText = Annotated[str, Query(max_length=2000, description="As in `blue_hair, smile`")]
DrawingBytes = Annotated[bytes, Body(media_type="image/png", description="Line art: the bytes of a PNG or JPEG")]


def create_app(studio: LoadedModels) -> FastAPI:
    """The application. Whatever a request gets wrong is answered with a line in `detail`."""
    app = FastAPI(
        title="nurie", version=version("nurie"), openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )
    app.state.studio = studio
    app.include_router(router)
    app.include_router(static_files.page_router("train.serving"))

    @app.exception_handler(NurieError)
    def tell(_: Request, error: NurieError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    return app


router = APIRouter()


@router.get("/api/models")
def models(request: Request) -> list[ModelInfo]:
    """The models there are, and the tags that each knows."""
    return _studio(request).models


@router.post("/api/colorize", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def colorize(
    request: Request,
    drawing: DrawingBytes,
    model: Annotated[int, Query(ge=0)] = 0,
    wanted: Annotated[TagText, Query(alias="tags")] = "",
    negative: TagText = "",
    guidance: Annotated[float | None, Query(ge=0, le=10)] = None,
    method: Literal["resize", "tiles"] = "resize",
    keep_lines: bool = False,
    keep_transparency: bool = False,
) -> Response:
    """Colour a drawing as its tags ask: a PNG of its size. As `train colorize` does, with the same options."""
    studio = _studio(request)
    if model >= len(studio.models):
        raise HTTPException(404, f"there are {len(studio.models)} models, counted from 0")
    usual = 2.0 if negative.strip() else 1.0
    asked, away = tuple(tags.parse_tags(wanted)), tuple(tags.parse_tags(negative))
    wish = TagPrompt(asked, away, usual if guidance is None else guidance)
    made = studio.color(model, drawing, wish, ColorizeOptions(method, keep_lines, keep_transparency))
    return Response(made, media_type="image/png", headers={"content-disposition": 'inline; filename="colored.png"'})


def _studio(request: Request) -> LoadedModels:
    studio: LoadedModels = request.app.state.studio
    return studio
