"""The shop's own tables, in a schema of their own beside Cascade's."""

from __future__ import annotations

import os
import uuid

from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateSchema


class Base(DeclarativeBase):
    metadata = MetaData(schema="shop")


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str]
    shelf: Mapped[str | None]  # where it waits for the customer, once it is ready
    placed_message: Mapped[uuid.UUID | None]
    paid_message: Mapped[uuid.UUID | None]
    ready_message: Mapped[uuid.UUID | None]


class Notification(Base):
    """What the shop has heard of a message; the first call may come before its order knows it."""

    __tablename__ = "notifications"

    message_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    state: Mapped[str]
    sequence: Mapped[int]


def connect() -> Engine:
    """The database that holds Cascade's schema too: only there can one transaction span both."""
    engine = create_engine(os.environ["SHOP_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(CreateSchema("shop", if_not_exists=True))
        Base.metadata.create_all(connection)
    return engine


def hear(session: Session, message_id: uuid.UUID, state: str, sequence: int) -> None:
    """Keeps the newest state: a repeat, or an older call that comes late, changes nothing.

    It is one statement, so that two workers with two calls do not overtake each other.
    """
    news = insert(Notification).values(message_id=message_id, state=state, sequence=sequence)
    session.execute(
        news.on_conflict_do_update(
            index_elements=[Notification.message_id],
            set_={"state": news.excluded.state, "sequence": news.excluded.sequence},
            where=Notification.sequence < news.excluded.sequence,
        )
    )
