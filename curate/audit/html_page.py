"""Templates of this package -> HTML pages that hold all they need, and in which what comes from data is text alone.

Jinja escapes all that it prints. What escaping leaves, characters that cannot be seen or turn the direction of what
follows, is shown as an escape of Python's. Should text ever be taken for markup, the page's policy runs no script, and
asks no other place for anything.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from curate.system.text import escape_unprintable, format_bytes

MAX_TEXT_CHARACTERS = 120  # characters of a text from data; a path may have 4,096, a tag any number


def render(name: str, **context: Any) -> bytes:
    """The template `name`.html.jinja with the style `name`.css in it, as UTF-8: equal contexts give equal bytes."""
    style = _read_resource(f"{name}.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"short": shorten, "size": format_bytes}
    template = environment.from_string(_read_resource(f"{name}.html.jinja"))
    return template.render(**context, style=style, policy=policy).encode()


def shorten(text: str, most: int = MAX_TEXT_CHARACTERS) -> str:
    """Text of at most so many characters, its middle left out: both ends of a path tell most."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def _finalize(value: Any) -> Any:
    """What is printed of a value: whole numbers with their thousands apart, text made visible unless it is markup."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape_unprintable(value) if type(value) is str else value  # markup is of a class of its own


def _read_resource(name: str) -> str:
    return files("curate.audit").joinpath(name).read_text("utf-8")
