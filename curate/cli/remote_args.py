"""Folders that commands are given, and addresses of stores that stand for one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from curate.system.errors import NurieError


class LocalPath(click.Path):
    """A local path: an address would become a strange one, and hold what nobody looks for there."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, unless it is an address."""
        if "://" in str(value):
            told = f"{value} is an address, and only sources, datasets, shards and copies may be: give a folder"
            self.fail(told, param, ctx)
        return super().convert(value, param, ctx)


class StoreAddress(str):
    """Of a dataset or shards in a store."""

    __slots__ = ()


class FolderOrAddress(click.Path):
    """The folder of a dataset or of shards, or its address: `stage` then puts the folder that it is worked on in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or the address."""
        return StoreAddress(value) if "://" in str(value) else super().convert(value, param, ctx)


class RemoteArgs:
    """What puts folders in the place of addresses, and sends what was made in them."""

    def __init__(self) -> None:
        self._away: Any = None
        self._dry = False

    def __call__(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with folders, in which lies what the stores hold, or what this host was to send them."""
        self._dry = bool(options.get("dry_run"))
        return {name: self._folder(one) if isinstance(one, StoreAddress) else one for name, one in options.items()}

    def _folder(self, address: StoreAddress) -> Path:
        from curate.stores.working_copy import WorkingCopies  # noqa: PLC0415  # costs Arrow

        self._away = self._away or WorkingCopies()
        folder: Path = self._away.folder_for(address)
        return folder

    def translate_error(self, error: NurieError) -> str:
        """What an error says, to one who gave an address."""
        return str(error) if self._away is None else str(self._away.explain_error(error))

    def send_back(self) -> None:
        """Once all went well; nothing, of a command that was to write nothing."""
        if self._away is not None and not self._dry:
            self._away.send_back()
