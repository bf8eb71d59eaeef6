"""A shop on FastAPI: an event of an order sends its message, and a page shows what became of it.

    make up                                    # in another terminal
    set -a; . .cascade/up/env; set +a
    .venv/bin/uvicorn examples.fastapi_shop.app:app --port 8001

and in a third one:

    curl -X POST 127.0.0.1:8001/orders/17/ready --json '{"phone": "+79163011111"}'
    curl 127.0.0.1:8001/orders/17/notification
"""

from __future__ import annotations

import os
import uuid

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import MetaData, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateSchema

from cascade import Cascade, IdempotencyConflictError, InvalidInputError


class Base(DeclarativeBase):
    metadata = MetaData(schema="fastapi_shop")


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[uuid.UUID]


class Customer(BaseModel):
    phone: str


class Notification(BaseModel):
    state: str
    channel: str
    cost: dict[str, str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client and one pool of connections for each process, shared by its threads."""
    app.state.cascade = Cascade.from_env()
    app.state.engine = create_engine(os.environ["SHOP_DATABASE_URL"])
    with app.state.engine.begin() as connection:
        connection.execute(CreateSchema("fastapi_shop", if_not_exists=True))
        Base.metadata.create_all(connection)
    yield
    app.state.engine.dispose()
    app.state.cascade.close()


app = FastAPI(lifespan=lifespan)


def client(request: Request) -> Cascade:
    """The process's client."""
    found: Cascade = request.app.state.cascade
    return found


def transaction(request: Request) -> Iterator[Session]:
    """One transaction for each request, committed before its answer is sent."""
    with Session(request.app.state.engine) as session, session.begin():
        yield session


Client = Annotated[Cascade, Depends(client)]
Transaction = Annotated[Session, Depends(transaction, scope="function")]


# `def`, not `async def`: the client waits for the database, so its place is in FastAPI's threads.
# An async endpoint would call `await run_in_threadpool(cascade.send, …)`.
@app.post("/orders/{order_id}/ready", status_code=202)
def ready(order_id: int, customer: Customer, cascade: Client, session: Transaction) -> uuid.UUID:
    """The key is the event: however often it is reported, one message goes out."""
    try:
        message_id = cascade.send(
            to=customer.phone,
            text="Заказ №#order# собран и ждёт вас.",
            variables={"order": str(order_id)},
            sender="fastapi-shop",  # whose keys these are
            key=f"order-{order_id}-ready",
            session=session,
        )
    except InvalidInputError as error:  # its words hold no phone number
        raise HTTPException(422, f"{error.field}: {error.problem}") from None
    except IdempotencyConflictError:  # the key belongs to the first request
        raise HTTPException(409, "this order was ready before, for another phone") from None
    session.merge(Order(id=order_id, message_id=message_id))
    return message_id


@app.get("/orders/{order_id}/notification")
def notification(order_id: int, cascade: Client, session: Transaction) -> Notification:
    """What became of the message."""
    order = session.get(Order, order_id)
    if order is None:
        raise HTTPException(404, "this order is not ready")
    status = cascade.status(order.message_id)
    cost = {currency: str(amount) for currency, amount in status.cost.items()}
    return Notification(state=status.state, channel=status.channel, cost=cost)
