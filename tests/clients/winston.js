// Sends two lines as an application with winston and winston-loki does. PHAROS: the address, KEY: an API key.
const winston = require("winston");
const LokiTransport = require("winston-loki");

const transport = new LokiTransport({
  host: process.env.PHAROS,
  basicAuth: `pharos:${process.env.KEY}`,
  labels: { service_name: "shop-winston" },
  interval: 0.1,
  json: process.env.JSON_FORMAT === "1",
  format: winston.format.json(),
  onConnectionError: (error) => { console.error(error); process.exit(1); },
});
const logger = winston.createLogger({ level: "debug", transports: [transport] });
logger.info("order placed", { request_id: "r-winston", duration_ms: 45 });
logger.error("payment failed", { request_id: "r-winston" });
transport.flush().then(() => transport.close());
