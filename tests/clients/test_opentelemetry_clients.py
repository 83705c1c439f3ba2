"""The OpenTelemetry SDK sends to a running Pharos as to a collector."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tests.product import KEY, Product
from tests.waiting import until

pytestmark = [
    pytest.mark.xdist_group("product"),
    pytest.mark.filterwarnings("ignore:`LoggingHandler`:DeprecationWarning"),
]


@pytest.mark.parametrize("compression", list(Compression), ids=lambda compression: compression.name)
def test_the_sdks_logging_handler(product: Product, compression: Compression) -> None:
    service = f"shop-{compression.name.lower()}"
    provider = LoggerProvider(Resource.create({"service.name": service, "deployment.environment.name": "prod"}))
    exporter = OTLPLogExporter(
        f"{product.url}/v1/logs", headers={"authorization": f"Bearer {KEY}"}, compression=compression
    )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = logging.Logger("shop.orders")
    logger.addHandler(LoggingHandler(logger_provider=provider))
    logger.info("order %d placed", 7, extra={"request_id": "r-otel", "duration_ms": 45})
    try:
        raise ValueError("card declined")
    except ValueError:
        logger.exception("payment failed")
    provider.shutdown()

    until(lambda: len(product.find(f"service:{service}")) == 2)
    (placed,) = product.find(f"service:{service} order duration_ms:>40 deployment.environment.name:prod")
    assert (placed["level"], placed["logger"], placed["message"]) == ("info", "shop.orders", "order 7 placed")
    assert placed["request_id"] == "r-otel"
    assert not any(name.startswith("telemetry.") for name in placed["metadata"])
    (failed,) = product.find(f"service:{service} payment")
    assert failed["level"] == "error"
    assert failed["metadata"]["exception.type"] == "ValueError"
    assert "ValueError: card declined" in failed["metadata"]["exception.stacktrace"]


def test_a_collectors_address_serves_as_well(product: Product) -> None:
    provider = LoggerProvider(Resource.create({"service.name": "shop-otlp"}))
    exporter = OTLPLogExporter(f"{product.url}/otlp/v1/logs", headers={"x-api-key": KEY})
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = logging.Logger("shop")
    logger.addHandler(LoggingHandler(logger_provider=provider))
    logger.warning("through another address")
    provider.shutdown()
    until(lambda: product.find("service:shop-otlp"))
