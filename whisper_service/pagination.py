"""Paginated lists."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from peewee import IntegerField, Model, ModelSelect

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list. `number` counts from 1, `total` is the length of the list."""

    rows: list[Item]
    number: int
    limit: int
    total: int

    @property
    def total_pages(self) -> int:
        return -(-self.total // self.limit)


def newest_first(
    query: "ModelSelect[Row]", ids: IntegerField, number: int, limit: int
) -> Page[Row]:
    """Return a page of `limit` rows, sorted by `ids` in descending order."""
    return page_of(query.order_by(ids.desc()), number, limit)


def page_of(query: "ModelSelect[Row]", number: int, limit: int) -> Page[Row]:
    """Return a page of `limit` rows in the query's order; it is empty past the end."""
    return Page(list(query.paginate(number, limit)), number, limit, query.count())
