"""The page's requests: the page itself, what it shows, what people decide on it. Described at /api/openapi.json."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from curate import __version__
from curate.audit import explain
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

MAX_PAGE_ITEMS = 200  # pictures, or families, that one answer tells
MAX_FAMILY_TILES = 24  # members of a family in a list of families; a filter by the family tells all
MAX_TOP_TAGS = 40  # tags beside the pictures that were found
MAX_COMPLETIONS = 12
OMITTED_COLUMNS = {"phash", "tags", "own_tags"}  # of the columns: told apart, or not

PictureId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Filter = Annotated[
    str, Query(max_length=2000, description="Tags and column:value, as `blue_hair -solo role:alternate`")
]
Where = Annotated[str, Query(max_length=2000, description="An expression, as of `curate select --where`")]
Order = Annotated[str, Query(max_length=40)]
Start = Annotated[int, Query(ge=0, le=10**9)]
Count = Annotated[int, Query(ge=1, le=MAX_PAGE_ITEMS)]


def create_app(review: LiveDataset) -> FastAPI:
    """The application. Whatever a request gets wrong is answered with a line in `detail`."""
    app = FastAPI(title="nurie", version=__version__, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    app.state.review = review
    app.include_router(router)
    app.include_router(static_files.page_router("curate.browsing"))

    @app.exception_handler(NurieError)
    def tell(_: Request, error: NurieError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409)

    @app.exception_handler(OSError)
    def tell_disk(_: Request, error: OSError) -> JSONResponse:
        return JSONResponse({"detail": f"{error.filename or 'the disk'}: {error.strerror or error}"}, 500)

    return app


router = APIRouter()


@router.get("/api/dataset")
def dataset(request: Request) -> DatasetInfo:
    """What the page is of."""
    seen = _view(request)
    return DatasetInfo(
        name=_review(request).dataset.resolve().name,
        pictures=seen.catalog.table.num_rows,
        judged=seen.catalog.is_deduped,
        waiting=seen.pending,
        layers=seen.pictures.layers,
        orders=list(SORT_COLUMNS),
        family_orders=list(FAMILY_SORT_KEYS),
    )


@router.get("/api/pictures")
def pictures(
    request: Request,
    filter: Filter = "",  # noqa: A002  # what the address says
    where: Where = "",
    order: Order = "",
    descending: bool = False,
    start: Start = 0,
    count: Count = 60,
) -> PicturePage:
    """One page of the rows for which a filter holds."""
    seen = _view(request)
    found, problem = _find(seen, filter, where)
    rows = seen.catalog.sorted_rows(found.mask, order, descending=descending)
    return PicturePage(
        total=len(rows),
        rows=api_models.to_tiles(seen, rows[start : start + count]),
        tags=seen.catalog.tags.top(found.mask, MAX_TOP_TAGS),
        roles=seen.catalog.value_counts("role", found.mask),
        dropped=seen.catalog.value_counts("dropped", found.mask),
        unknown=dict(found.unknown_words),
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
    """One page of the families of look-alikes of which a filter holds for a row."""
    seen = _view(request)
    catalog = seen.catalog
    found, problem = _find(seen, filter, where)
    codes = catalog.family_codes(found.mask, order)
    told = []
    for code in codes[start : start + count]:
        members = api_models.to_tiles(seen, catalog.family_rows(int(code))[:MAX_FAMILY_TILES])
        told.append(FamilyTiles(members[0].family or "", int(catalog.families.size[code]), members))
    return FamilyPage(len(codes), told, dict(found.unknown_words), problem)


@router.get("/api/pictures/{key}")
def picture(request: Request, key: PictureId) -> PictureDetails:
    """All that is known of one picture."""
    seen = _view(request)
    catalog, people = seen.catalog, seen.decisions
    numbers = catalog.rows_of_id(key)
    if not len(numbers):
        raise HTTPException(404, "no picture has this id")
    row, *copies = catalog.read_rows(numbers)
    looks = catalog.look_alikes(key)
    return PictureDetails(
        tile=api_models.to_tiles(seen, numbers[:1])[0],
        columns={name: value for name, value in row.items() if name not in OMITTED_COLUMNS},
        copies=[one["path"] for one in copies],
        tags=list(row["tags"] or ()),
        own_tags=list(row["own_tags"] or ()),
        given_tags=list(people.tags_by_id[key]) if key in people.tags_by_id else None,
        looks=api_models.to_look_alikes(seen, looks[:MAX_LOOK_ALIKES]),
        look_alikes=len(looks),
        decisions=[api_models.to_decision_row(seen, told) for told in people.rows if key in {told["a"], told["b"]}],
        story=list(explain.story_lines(row, catalog.table, people.rows)),
    )


@router.get("/api/pictures/{key}/{layer}", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def layer(request: Request, key: PictureId, layer: Annotated[str, Path(max_length=80)]) -> Response:
    """A stored picture, as PNG: its colours, or its line art in one style."""
    png = _view(request).pictures.read_png(key, layer)
    if png is None:
        raise HTTPException(404, "no such picture is stored")
    return Response(png, media_type="image/png", headers={"cache-control": "private, max-age=300"})


@router.get("/api/tags")
def tags(request: Request, start: Annotated[str, Query(max_length=200)]) -> list[tuple[str, int]]:
    """The commonest tags with a word that begins so, with the number of pictures that carry each."""
    catalog = _view(request).catalog
    return filters.suggest_completions(catalog.tags, catalog.all_rows, start, MAX_COMPLETIONS)


@router.get("/api/decisions")
def decisions(request: Request, start: Start = 0, count: Count = 100) -> DecisionPage:
    """One page of what people decided, the last first."""
    seen = _view(request)
    rows = seen.decisions.rows[::-1]
    return DecisionPage(len(rows), [api_models.to_decision_row(seen, row) for row in rows[start : start + count]])


@router.post("/api/decisions", status_code=201)
def decide(
    request: Request,
    kind: Annotated[Literal[DECISION_KINDS], Body()],  # type: ignore[valid-type]  # they are told in one place
    pictures: Annotated[list[Annotated[str, Body(max_length=40)]], Body(min_length=1, max_length=2)],
    tags: Annotated[list[Annotated[str, Body(max_length=500)]] | None, Body(max_length=1000)] = None,
) -> DecisionRow:
    """Decide of one or two pictures, by id; or `undo` the decision of a number. The next dedupe follows it."""
    row = _review(request).decide(kind, pictures, tags)
    return api_models.to_decision_row(_view(request), {**row, "holds": True})


def _review(request: Request) -> LiveDataset:
    review: LiveDataset = request.app.state.review
    return review


def _view(request: Request) -> DatasetView:
    return _review(request).view()


def _find(seen: DatasetView, text: str, where: str) -> tuple[filters.FilterResult, str]:
    """What a filter holds for; for one that is half typed, nothing, and what is wrong with it: that is no fault."""
    try:
        return seen.catalog.find_rows(text, where, seen.decisions.kinds_by_id), ""
    except NurieError as error:
        return filters.FilterResult(~seen.catalog.all_rows, {}), str(error)
