"""Arguments that are folders, or addresses of folders in an object store such as s3://bucket/dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from curate.system.errors import NurieError


class LocalPath(click.Path):
    """A local path. Refuses addresses, which would otherwise become folders with odd names."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail if it is an address."""
        if "://" in str(value):
            message = f"{value} is an address, and only sources, datasets, shards and copies may be: give a folder"
            self.fail(message, param, ctx)
        return super().convert(value, param, ctx)


class StoreAddress(str):
    """The address of a dataset or shard folder in an object store."""

    __slots__ = ()


class FolderOrAddress(click.Path):
    """A dataset or shard folder, or its address. For an address, the command gets a local working copy instead."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or a StoreAddress."""
        return StoreAddress(value) if "://" in str(value) else super().convert(value, param, ctx)


class RemoteArgs:
    """Replaces addresses by local working copies, and sends back what the command made in them."""

    def __init__(self) -> None:
        self._copies: Any = None
        self._dry_run = False

    def __call__(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options, with a working copy in place of each address."""
        self._dry_run = bool(options.get("dry_run"))
        return {
            name: self._folder(value) if isinstance(value, StoreAddress) else value for name, value in options.items()
        }

    def _folder(self, address: StoreAddress) -> Path:
        from curate.stores.working_copy import WorkingCopies  # noqa: PLC0415  # costs Arrow

        self._copies = self._copies or WorkingCopies()
        folder: Path = self._copies.folder_for(address)
        return folder

    def translate_error(self, error: NurieError) -> str:
        """The message of an error, with addresses in place of the working copies."""
        return str(error) if self._copies is None else str(self._copies.explain_error(error))

    def send_back(self) -> None:
        """Send working copies back to their stores, unless the command was a dry run."""
        if self._copies is not None and not self._dry_run:
            self._copies.send_back()
