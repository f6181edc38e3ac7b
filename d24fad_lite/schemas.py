"""What a file must hold, as a schema; and one sentence for a file that does not."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from d24fad_lite.files import UnreadableFile

MOST_SHOWN = 80  # characters of what was found
Channels = Annotated[list[float], Field(min_length=3, max_length=3)]  # a number for each of red, green, blue


class Schema(BaseModel):
    """A part of a file: fields of these types, no NaN or infinity, no text for a number; further fields are ignored."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore", frozen=True)


AnySchema = TypeVar("AnySchema", bound=Schema)


def checked(
    schema: type[AnySchema], content: Any, origin: object, remedy: str, error: type[UnreadableFile] = UnreadableFile
) -> AnySchema:
    """The content of a file as its schema, or an error that names the file, what was found and what was expected.

    Parameters
    ----------
    schema : type of Schema
    content : plain values, as JSON gives them
    origin : the file, as the error names it
    remedy : what to do about it
    error : the type of the error
    """
    try:
        return schema.model_validate(content)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        found = "nothing" if first["type"] == "missing" else _shown(first["input"])
        expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        expected = "an object with named fields" if first["type"] == "model_type" else expected
        raise error(f"{origin} is not what was expected: {place} is {found}, expected {expected}; {remedy}") from None
    except RecursionError:
        raise error(f"{origin} is nested too deeply to be read; {remedy}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
