"""Settings that are chosen by a name, such as ``lif`` among the cells: each class brings its own."""

import re
from typing import Any, ClassVar

from ._field_docs import with_fields


class Choice:
    """Base of a family of settings; its subclasses are known by name as soon as they are defined.

    A family, such as the cells, is a class that inherits from this one directly. Its members are frozen
    dataclasses with keyword-only fields, and say their name: ``class LIFSpec(CellSpec, name="lif")``.
    Command line and files find them there, so that a new member is one class and nothing else. ``help`` shows
    the docstrings under the fields below that of the class.
    """

    name: ClassVar[str] = ""
    """As it is written in files and on the command line; empty for classes that are found by their file."""
    members: ClassVar[dict[str, type]]
    """The named classes of the family."""

    def __init_subclass__(cls, *, name: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        if Choice in cls.__bases__:
            cls.members = {}
        else:
            cls.__doc__ = with_fields(cls)
        cls.name = name
        if name:
            cls.members[name] = cls


def spelled(class_name: str) -> str:
    """``SuperSpike`` as it is written in files and on the command line: ``super-spike``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", class_name).lower()
