"""Its two tables."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Engine, Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Of its tables."""


class Message(Base):
    """One message, which moves from hop to hop."""

    __tablename__ = "naive_messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str]
    text: Mapped[str]
    hop: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(default="queued", index=True)


class Bill(Base):
    """What a delivered message costs."""

    __tablename__ = "naive_bills"

    message_id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))


def create(engine: Engine) -> None:
    """Empty tables."""
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
