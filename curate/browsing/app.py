"""The HTTP requests: the page itself, what it shows, and what people decide. /api/openapi.json describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from curate import __version__
from curate.audit import explain_picture
from curate.browsing import api_models
from curate.browsing.api_models import (
    DatasetInfo,
    DecisionPage,
    DecisionRow,
    FamilyPage,
    FamilyTiles,
    PictureDetails,
    PicturePage,
)
from curate.browsing.catalog import FAMILY_SORT_KEYS, MAX_LOOK_ALIKES, SORT_COLUMNS
from curate.browsing.live_dataset import DatasetView, LiveDataset
from curate.dataset.decisions import DECISION_KINDS
from curate.query import filters
from curate.system.errors import NurieError
from curate.web import static_files

MAX_PAGE_ITEMS = 200  # pictures or families in one answer
MAX_FAMILY_TILES = 24  # of a family in a list of families; a filter by the family lists all
MAX_TOP_TAGS = 40  # listed beside the pictures
MAX_COMPLETIONS = 12
OMITTED_COLUMNS = {"phash", "tags", "own_tags"}  # shown elsewhere, or of no use to a person

PictureId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Filter = Annotated[
    str, Query(max_length=2000, description="Tags and column:value, for example `blue_hair -solo role:alternate`")
]
Where = Annotated[str, Query(max_length=2000, description="An expression as for `curate select --where`")]
Order = Annotated[str, Query(max_length=40)]
Start = Annotated[int, Query(ge=0, le=10**9)]
Count = Annotated[int, Query(ge=1, le=MAX_PAGE_ITEMS)]


def create_app(live: LiveDataset) -> FastAPI:
    """The application. Errors are answered with one line in `detail`."""
    app = FastAPI(title="nurie", version=__version__, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    app.state.live = live
    app.include_router(router)
    app.include_router(static_files.page_router("curate.browsing"))

    @app.exception_handler(NurieError)
    def answer_error(_: Request, error: NurieError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409)

    @app.exception_handler(OSError)
    def answer_disk_error(_: Request, error: OSError) -> JSONResponse:
        return JSONResponse({"detail": f"{error.filename or 'the disk'}: {error.strerror or error}"}, 500)

    return app


router = APIRouter()


@router.get("/api/dataset")
def dataset(request: Request) -> DatasetInfo:
    """The dataset that the page shows."""
    view = _view(request)
    return DatasetInfo(
        name=_live(request).dataset.resolve().name,
        pictures=view.catalog.table.num_rows,
        judged=view.catalog.is_deduped,
        waiting=view.pending,
        layers=view.pictures.layers,
        orders=list(SORT_COLUMNS),
        family_orders=list(FAMILY_SORT_KEYS),
    )


@router.get("/api/pictures")
def pictures(
    request: Request,
    filter: Filter = "",  # noqa: A002  # the name in the URL
    where: Where = "",
    order: Order = "",
    descending: bool = False,
    start: Start = 0,
    count: Count = 60,
) -> PicturePage:
    """One page of the pictures that match a filter."""
    view = _view(request)
    matches, problem = _find(view, filter, where)
    rows = view.catalog.sorted_rows(matches.mask, order, descending=descending)
    return PicturePage(
        total=len(rows),
        rows=api_models.to_tiles(view, rows[start : start + count]),
        tags=view.catalog.tags.top(matches.mask, MAX_TOP_TAGS),
        roles=view.catalog.value_counts("role", matches.mask),
        dropped=view.catalog.value_counts("dropped", matches.mask),
        unknown=dict(matches.unknown_words),
        problem=problem,
    )


@router.get("/api/families")
def families(
    request: Request,
    filter: Filter = "",  # noqa: A002
    where: Where = "",
    order: Order = "added",
    start: Start = 0,
    count: Count = 20,
) -> FamilyPage:
    """One page of the families in which a picture matches a filter."""
    view = _view(request)
    catalog = view.catalog
    matches, problem = _find(view, filter, where)
    codes = catalog.family_codes(matches.mask, order)
    page = []
    for code in codes[start : start + count]:
        members = api_models.to_tiles(view, catalog.family_rows(int(code))[:MAX_FAMILY_TILES])
        page.append(FamilyTiles(members[0].family or "", int(catalog.families.size[code]), members))
    return FamilyPage(len(codes), page, dict(matches.unknown_words), problem)


@router.get("/api/pictures/{key}")
def picture(request: Request, key: PictureId) -> PictureDetails:
    """Everything known about one picture."""
    view = _view(request)
    catalog, log = view.catalog, view.decisions
    numbers = catalog.rows_of_id(key)
    if not len(numbers):
        raise HTTPException(404, "no picture has this id")
    row, *copies = catalog.read_rows(numbers)
    looks = catalog.look_alikes(key)
    return PictureDetails(
        tile=api_models.to_tiles(view, numbers[:1])[0],
        columns={name: value for name, value in row.items() if name not in OMITTED_COLUMNS},
        copies=[copy["path"] for copy in copies],
        tags=list(row["tags"] or ()),
        own_tags=list(row["own_tags"] or ()),
        given_tags=list(log.tags_by_id[key]) if key in log.tags_by_id else None,
        looks=api_models.to_look_alikes(view, looks[:MAX_LOOK_ALIKES]),
        look_alikes=len(looks),
        decisions=[api_models.to_decision_row(view, made) for made in log.rows if key in {made["a"], made["b"]}],
        story=list(explain_picture.story_lines(row, catalog.table, log.rows)),
    )


@router.get("/api/pictures/{key}/{layer}", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def layer(request: Request, key: PictureId, layer: Annotated[str, Path(max_length=80)]) -> Response:
    """A stored layer of a picture as PNG: its colours, or its line art in one style."""
    png = _view(request).pictures.read_png(key, layer)
    if png is None:
        raise HTTPException(404, "this layer of this picture is not stored")
    return Response(png, media_type="image/png", headers={"cache-control": "private, max-age=300"})


@router.get("/api/tags")
def tags(request: Request, start: Annotated[str, Query(max_length=200)]) -> list[tuple[str, int]]:
    """The most common tags with a word that starts with the text, and how many pictures have each."""
    catalog = _view(request).catalog
    return filters.suggest_completions(catalog.tags, catalog.all_rows, start, MAX_COMPLETIONS)


@router.get("/api/decisions")
def decisions(request: Request, start: Start = 0, count: Count = 100) -> DecisionPage:
    """One page of the decisions, the latest first."""
    view = _view(request)
    rows = view.decisions.rows[::-1]
    return DecisionPage(len(rows), [api_models.to_decision_row(view, row) for row in rows[start : start + count]])


@router.post("/api/decisions", status_code=201)
def decide(
    request: Request,
    kind: Annotated[Literal[DECISION_KINDS], Body()],  # type: ignore[valid-type]  # a constant of another module
    pictures: Annotated[list[Annotated[str, Body(max_length=40)]], Body(min_length=1, max_length=2)],
    tags: Annotated[list[Annotated[str, Body(max_length=500)]] | None, Body(max_length=1000)] = None,
) -> DecisionRow:
    """Decide about one or two pictures, by id; or `undo` a decision by its number. The next dedupe applies it."""
    row = _live(request).decide(kind, pictures, tags)
    return api_models.to_decision_row(_view(request), {**row, "holds": True})


def _live(request: Request) -> LiveDataset:
    live: LiveDataset = request.app.state.live
    return live


def _view(request: Request) -> DatasetView:
    return _live(request).view()


def _find(view: DatasetView, text: str, where: str) -> tuple[filters.FilterResult, str]:
    """Pictures that match a filter; for an invalid (half-typed) one, no pictures, and what is wrong with it."""
    try:
        return view.catalog.find_rows(text, where, view.decisions.kinds_by_id), ""
    except NurieError as error:
        return filters.FilterResult(~view.catalog.all_rows, {}), str(error)
