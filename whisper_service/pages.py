"""Lists in pages, newest first."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from peewee import IntegerField, Model, ModelSelect

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list, counted from 1, and how much there is in all."""

    rows: list[Row]
    number: int
    limit: int
    total: int

    @property
    def total_pages(self) -> int:
        return -(-self.total // self.limit)


def newest_first(
    query: "ModelSelect[Row]", ids: IntegerField, number: int, limit: int
) -> Page[Row]:
    """Take a page of `limit` rows by their `ids`. A number past the end gives an empty one."""
    rows = query.order_by(ids.desc()).paginate(number, limit)
    return Page(list(rows), number, limit, query.count())
