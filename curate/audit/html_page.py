"""Render a Jinja template as a self-contained HTML page in which text from data can only ever be text.

Jinja escapes everything that is printed. Characters that are invisible or change the direction of text are shown as
escapes. Should text be taken for markup all the same, the page's Content-Security-Policy runs no script and
loads nothing from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from curate.system.text import escape_unprintable, format_bytes

MAX_TEXT_CHARACTERS = 120  # shown of a text from data; a path may have 4,096, a tag any number


def render(name: str, **context: Any) -> bytes:
    """Render `name`.html.jinja with the style sheet `name`.css inside, as UTF-8; equal contexts give equal bytes."""
    style = _read_resource(f"{name}.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"short": shorten, "size": format_bytes}
    template = environment.from_string(_read_resource(f"{name}.html.jinja"))
    return template.render(**context, style=style, policy=policy).encode()


def shorten(text: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Cut text to `limit` characters by leaving out its middle: the ends of a path say most."""
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end]}…{text[len(text) - end :]}"


def _finalize(value: Any) -> Any:
    """What Jinja prints for a value: integers with thousands separators, text with invisible characters escaped."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape_unprintable(value) if type(value) is str else value  # Markup is a subclass of str, and stays as it is


def _read_resource(name: str) -> str:
    return files("curate.audit").joinpath(name).read_text("utf-8")
