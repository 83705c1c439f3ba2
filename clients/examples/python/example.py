"""Lines of a small service, in each way that the client knows.

    pip install ./clients/python
    PHAROS_REDIS_URL=redis://127.0.0.1:6390 python example.py
    PHAROS_URL=http://127.0.0.1:8000 PHAROS_API_KEY=pharos_… python example.py
    PHAROS_ENV=development python example.py    # prints them

The first needs the Redis of Pharos, the second its address and a key.
"""

import asyncio
import logging

from pharos_client import RedisLogger, bound_context, configure
from pharos_client.events import login_failed, operation

configure("shop")
log = logging.getLogger("shop.orders")


def order(number: int) -> None:
    with bound_context(request_id=f"r-{number}", user_id="u-7"):
        log.info("Order placed", extra={"order": number, "password": "never leaves this process"})
        try:
            raise TimeoutError("the bank didn't answer")
        except TimeoutError:
            log.exception("Payment failed", extra={"order": number})


async def read_receipts() -> None:
    receipts = RedisLogger("ocr").named("receipts")
    await receipts.info("Receipt read", "17 lines", {"receipt_id": "r-7"})
    await receipts.error("Receipt failed", "unreadable", ValueError("no text found"))


order(1)
login_failed("ann", "wrong password")
operation("delete", "receipt r-7", user="ann")
asyncio.run(read_receipts())
