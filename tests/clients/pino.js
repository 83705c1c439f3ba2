// Sends two lines as an application with pino and pino-loki does. PHAROS: the address, KEY: an API key.
const pino = require("pino");

const logger = pino({ level: "debug" }, pino.transport({
  target: require.resolve("pino-loki"),
  options: {
    host: process.env.PHAROS,
    basicAuth: { username: "pharos", password: process.env.KEY },
    labels: { service_name: "shop-pino" },
    batching: { interval: 1 },
  },
}));
logger.info({ request_id: "r-pino", duration_ms: 45 }, "order placed");
logger.error({ request_id: "r-pino", err: new Error("card declined") }, "payment failed");
