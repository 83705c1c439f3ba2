// PHAROS_URL=http://127.0.0.1:8000 PHAROS_API_KEY=pharos_… node example.mjs     (after: npm install pino)
import pino from "pino";
import { pharos } from "./pharos.mjs";

const log = pino({ base: { service: "shop-node" }, redact: ["password"] }, pharos());

log.info({ request_id: "r-1", userId: "u-7", password: "never leaves this process" }, "Login successful");
log.error({ request_id: "r-1", err: new Error("the bank didn't answer") }, "Payment failed");
