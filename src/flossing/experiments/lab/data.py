"""The numbers of an experiment: a labelled dataset for each of its cases, in one netCDF file."""

import dataclasses
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from ...runs import directory as files


def case_name(case: Hashable) -> str:
    """The name of a case, from its class and fields, such as ``Trained,units=80,delay=20``.

    Raises:
        TypeError: the case is no frozen dataclass.
    """
    if not dataclasses.is_dataclass(case) or isinstance(case, type):
        raise TypeError(f"case: expected a frozen dataclass, got {case!r}.")
    fields = (f"{f.name}={_plain(getattr(case, f.name))}" for f in dataclasses.fields(case))
    return ",".join([type(case).__name__, *fields])


def _plain(value: Any) -> str:
    return str(value).replace("/", "|")


_SMALL = 500
"""Numbers of an array that takes less space as it is than compressed."""


class Data(Mapping[Any, xr.Dataset]):
    """Datasets by case.

    A case is a frozen dataclass, so that what distinguishes cases has names and types::

        data[Run(units=80, delay=20, schedule="adaptive")]["test_accuracy"]      # (network,)
        data.over("delay", units=80, schedule="adaptive")["test_accuracy"]       # (delay, network)
    """

    def __init__(self, parts: Mapping[Any, xr.Dataset]):
        self._parts = dict(parts)

    def __getitem__(self, case: Any) -> xr.Dataset:
        try:
            return self._parts[case]
        except KeyError:
            raise KeyError(f"{case_name(case)} is no case of this experiment's numbers.") from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def where(self, kind: type | None = None, /, **fields: Any) -> "Data":
        """The cases of a class whose fields have these values, in their order; may be none."""
        return Data({c: d for c, d in self._parts.items() if _matches(c, kind, fields)})

    def over(self, field: str, kind: type | None = None, /, **fields: Any) -> xr.Dataset:
        """The cases that agree in ``fields``, along a new leading dimension named like ``field``.

        Where cases have different numbers of entries along a shared dimension, NaN fills the rest.

        Raises:
            ValueError: there are none, or two of them have the same value of ``field``.
        """
        chosen = self.where(kind, **fields)
        values = [getattr(case, field) for case in chosen]
        if not values or len(set(values)) < len(values):
            raise ValueError(
                f"{field}: expected cases that differ in it alone, got values {values} for {fields}."
            )
        return xr.concat(
            list(chosen.values()),
            xr.DataArray(values, dims=field, name=field),
            data_vars="all",
            join="outer",
            combine_attrs="drop",
        )

    def write(self, path: Path, attributes: Mapping[str, Any]) -> None:
        """Writes a netCDF file, atomically, with a group for each case and attributes (as JSON)."""
        content = {f"/{case_name(case)}": part for case, part in self._parts.items()}
        tree = xr.DataTree.from_dict({"/": xr.Dataset(), **content})
        tree.attrs = {name: json.dumps(value, default=str) for name, value in attributes.items()}
        encoding = {
            name: {v: {"zlib": True} for v, a in part.data_vars.items() if a.size > _SMALL}
            for name, part in content.items()
        }
        made = tree.to_netcdf(engine="h5netcdf", encoding=encoding)
        files.write_atomically(path, lambda p: p.write_bytes(made))

    @classmethod
    def read(cls, path: Path, cases: Iterable[Any]) -> "Data":
        """The numbers of these cases.

        Raises:
            ValueError: there is no such file, it is damaged, or it lacks a case.
        """
        if not path.is_file():
            raise ValueError(f"{path.parent}: has no {path.name}; run the experiment there first.")
        try:
            with xr.open_datatree(path, engine="h5netcdf") as tree:
                parts = {name: part.to_dataset().load() for name, part in tree.children.items()}
        except Exception as error:
            raise ValueError(f"{path}: damaged: {error}") from error
        by_name = {case_name(case): case for case in cases}
        if missing := [name for name in by_name if name not in parts]:
            raise ValueError(
                f"{path}: lacks {len(missing)} of {len(by_name)} cases, as {missing[0]}; "
                "run the experiment there with these settings."
            )
        return cls({case: parts[name] for name, case in by_name.items()})


def _matches(case: Any, kind: type | None, fields: Mapping[str, Any]) -> bool:
    return (kind is None or isinstance(case, kind)) and all(
        hasattr(case, name) and getattr(case, name) == value for name, value in fields.items()
    )
