"""YAML as it has been since 2009 (version 1.2), where 010 is ten, 1:30 is text and 1e-3 is a number.

PyYAML reads version 1.1, in which these are 8, 90 and text, and takes the last of two equal fields.
"""

import re
from typing import Any

import yaml

YAMLError = yaml.YAMLError

_INTEGER = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = (
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?(?:\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN"
)
_KINDS = (  # of the core schema, the narrower first
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INTEGER, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the field {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: Any) -> int:
        text = self.construct_scalar(node)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)


class _Dumper(yaml.SafeDumper):
    """Text that either version would take for something else is put into quotes."""


for _name, _pattern, _first in _KINDS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _first
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)


def load(text: str) -> Any:
    """Plain Python values from YAML; raises ``YAMLError`` if it is none."""
    try:
        return yaml.load(text, _Loader)
    except (
        ValueError,
        TypeError,
        RecursionError,
    ) as error:  # 5000 digits, a list as a field's name
        raise YAMLError(str(error)) from None


def dump(content: Any) -> str:
    """YAML of plain Python values, fields in their order; ``load`` gives them back."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)
