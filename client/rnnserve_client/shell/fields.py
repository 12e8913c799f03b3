"""The fields of a request, as a server's OpenAPI document describes them, and words as their values."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn


class UsageError(Exception):
    """What was typed is not what the server takes; the message says what is."""


class Parser(argparse.ArgumentParser):
    """Its errors are one line, and end no process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request.

    Attributes:
        kinds: JSON types that it takes, such as ``string``; of a list's elements, those in ``items``.
    """

    name: str
    kinds: frozenset[str]
    items: frozenset[str]
    help: str

    @property
    def is_switch(self) -> bool:
        """Whether it is said or not, and takes no word."""
        return self.kinds <= {"boolean", "null"}

    def value(self, words: Sequence[str]) -> Any:
        """Words as JSON; raises UsageError."""
        if "string" in self.kinds:
            many = len(words) > 1 and "string" in self.items
            return list(words) if many else " ".join(words)
        if "array" in self.kinds:
            if len(words) == 1 and words[0].lstrip().startswith("["):
                return self._parsed(words[0])
            parts = words if "object" in self.items else [p for word in words for p in word.split(",")]
            return [part if "string" in self.items else self._parsed(part) for part in parts]
        return self._parsed(" ".join(words))

    def _parsed(self, word: str) -> Any:
        try:
            return json.loads(word.strip() or "null")
        except ValueError:
            wanted = " or ".join(sorted((self.items or self.kinds) - {"null"})) or "JSON"
            raise UsageError(f"{self.name}: {word!r} is no {wanted}") from None


@dataclass(frozen=True, slots=True)
class Operation:
    """A ``POST`` of the document.

    Attributes:
        fields: of the JSON body, in their order; words without a flag go into the first.
        beside: those of the query, beside a body that is a file.
        files: content types that are read besides JSON.
    """

    doc: str
    fields: tuple[Field, ...]
    beside: tuple[Field, ...]
    files: frozenset[str]


def operation(document: Mapping[str, Any], path: str) -> Operation | None:
    """What the document says of ``POST path``; ``None`` where it has none."""
    post = document["paths"].get(path, {}).get("post")
    if post is None:
        return None
    content = post.get("requestBody", {}).get("content", {})
    schema = _object(document, content.get("application/json", {}).get("schema", {}))
    described = schema.get("properties", {})
    parameters = [one for one in post.get("parameters", ()) if one["in"] == "query"]
    return Operation(
        doc=post.get("description", ""),
        fields=tuple(_field(document, name, about) for name, about in described.items()),
        beside=tuple(
            _field(document, one["name"], {"type": "string", "description": one.get("description", "")})
            for one in parameters
            if one["name"] not in described
        ),
        files=frozenset(content) - {"application/json"},
    )


def _field(document: Mapping[str, Any], name: str, about: Mapping[str, Any]) -> Field:
    plain = list(_alternatives(document, about))
    inner = [one.get("items", {}) for one in plain if one.get("type") == "array"]
    items = [each for one in inner for each in _alternatives(document, one)]
    texts = [str(one["description"]) for one in (about, *plain) if "description" in one]
    return Field(name, _kinds(plain), _kinds(items), texts[0] if texts else "")


def _kinds(schemas: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(str(one["type"]) for one in schemas if "type" in one)


def _alternatives(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema, or each of those that it lets one choose from."""
    schema = _resolved(document, schema)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if not choices:
        return [schema]
    return [each for one in choices for each in _alternatives(document, one)]


def _object(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first alternative that has fields."""
    return next((one for one in _alternatives(document, schema) if "properties" in one), {})


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema
