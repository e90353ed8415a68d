"""Files that hold a mapping, in YAML: read so that nothing in them is taken otherwise than it looks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from dominoes.errors import SpecError, brief


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what YAML would silently take otherwise than it looks: a key given twice, of which it takes the last, and
    010 and 1:30, which are 8 and 90 to it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the field {key} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> int | float:
        """A decimal number, or one in hexadecimal or binary digits."""
        found = self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)
        digits = str(node.value).lstrip("+-")
        mark = ":" if ":" in digits else "a leading 0" if re.fullmatch("0[0-9_]+", digits) else ""
        if mark:
            problem = f"{node.value} means {found:g} in YAML, expected a number without {mark}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return found


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.number)


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML (or JSON) file that holds a mapping. Raises SpecError that names the file."""
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise SpecError(f"{path} cannot be read ({error.strerror}); expected a YAML file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{path} is not valid YAML: {_of_yaml(error)}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise SpecError(f"{path}: expected fields with values (such as 'n: 1000'), got {type(values).__name__}")
    return values


def _of_yaml(error: Exception) -> str:
    """What is wrong with a YAML file and where, as people count lines; without the text that the parser quotes."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else brief(error).partition(";")[0]
