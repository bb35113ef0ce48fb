"""The requests of the page: the page itself, its models, a drawing to colour. Described at /api/openapi.json."""

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

TagText = Annotated[str, Query(max_length=2000, description="Tags between commas: `blue_hair, smile`")]
DrawingBytes = Annotated[bytes, Body(media_type="image/png", description="Line art: the bytes of a PNG or JPEG")]


def create_app(loaded_models: LoadedModels) -> FastAPI:
    """The application. A mistake in a request is answered by one line in `detail`."""
    app = FastAPI(
        title="nurie", version=version("nurie"), openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )
    app.state.loaded_models = loaded_models
    app.include_router(router)
    app.include_router(static_files.page_router("train.serving"))

    @app.exception_handler(NurieError)
    def answer_mistake(_: Request, error: NurieError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    return app


router = APIRouter()


@router.get("/api/models")
def models(request: Request) -> list[ModelInfo]:
    """The models, and the tags that each of them knows."""
    return _loaded_models(request).models


@router.post("/api/colorize", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def colorize(
    request: Request,
    drawing: DrawingBytes,
    model: Annotated[int, Query(ge=0)] = 0,
    tag_text: Annotated[TagText, Query(alias="tags")] = "",
    negative: TagText = "",
    guidance: Annotated[float | None, Query(ge=0, le=10)] = None,
    method: Literal["resize", "tiles"] = "resize",
    keep_lines: bool = False,
    keep_transparency: bool = False,
) -> Response:
    """Colour a drawing: a PNG of its size. The options are those of `train colorize`."""
    loaded = _loaded_models(request)
    if model >= len(loaded.models):
        raise HTTPException(404, f"there are {len(loaded.models)} models, counted from 0")
    default_guidance = 2.0 if negative.strip() else 1.0
    prompt = TagPrompt(
        tuple(tags.parse_tags(tag_text)),
        tuple(tags.parse_tags(negative)),
        default_guidance if guidance is None else guidance,
    )
    picture = loaded.color(model, drawing, prompt, ColorizeOptions(method, keep_lines, keep_transparency))
    return Response(picture, media_type="image/png", headers={"content-disposition": 'inline; filename="colored.png"'})


def _loaded_models(request: Request) -> LoadedModels:
    loaded: LoadedModels = request.app.state.loaded_models
    return loaded
