// Sends lines of pino (or of anything that writes JSON lines) to Pharos over HTTP. No dependency; Node 18 or newer.
//
//     import pino from "pino";
//     import { pharos } from "./pharos.mjs";
//     const log = pino({ base: { service: "shop" }, redact: ["password"] }, pharos());
//
// PHAROS_URL and PHAROS_API_KEY say where to. Logging never waits and never throws: lines go out in batches of up to
// 500 or after 100 ms; while Pharos is away up to 10,000 wait, then the oldest are dropped and counted.
import { gzipSync } from "node:zlib";

const BATCH = 500, EVERY = 100, BUFFER = 10_000, TIMEOUT = 5_000, WAIT_MAX = 30_000;

export function pharos({ url = process.env.PHAROS_URL, key = process.env.PHAROS_API_KEY } = {}) {
  let waiting = [], dropped = 0, timer = null, sending = null, wait = 1_000;

  const say = (text) => process.stderr.write(`pharos: ${text}\n`);
  const plan = (milliseconds) => { timer ??= setTimeout(() => { timer = null; void flush(); }, milliseconds).unref(); };

  async function post(lines) {
    const answer = await fetch(`${url}/api/logs`, {
      method: "POST",
      headers: { "X-API-Key": key, "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip" },
      body: gzipSync(lines.join(""), { level: 1 }),
      signal: AbortSignal.timeout(TIMEOUT),
    });
    const text = await answer.text();
    if (answer.ok) return 0;
    if (answer.status === 429 || answer.status >= 500) return 1_000 * (Number(answer.headers.get("retry-after")) || 1);
    say(`${lines.length} lines are dropped: HTTP ${answer.status} ${text.slice(0, 200)}`);
    return 0;
  }

  async function send() {
    while (waiting.length) {
      const batch = waiting.splice(0, BATCH);
      let pause;
      try {
        pause = await post(batch);
      } catch (error) {
        pause = wait;
        wait = Math.min(wait * 2, WAIT_MAX);
        say(`Pharos is away, lines are kept (${error.cause?.message ?? error.message})`);
      }
      if (pause) {
        waiting = [...batch, ...waiting];
        plan(pause);
        return;
      }
      wait = 1_000;
      if (dropped) {
        waiting.push(JSON.stringify({ level: "warn", service: "pharos", msg: `${dropped} lines were dropped` }) + "\n");
        dropped = 0;
      }
    }
  }

  /** Resolves when everything is sent, or can't be sent now. */
  function flush() {
    sending ??= send().finally(() => { sending = null; });
    return sending;
  }

  process.once("beforeExit", () => void flush());
  return {
    write(line) {
      if (waiting.length >= BUFFER) { waiting.shift(); dropped += 1; }
      waiting.push(line.endsWith("\n") ? line : `${line}\n`);
      if (waiting.length >= BATCH) void flush(); else plan(EVERY);
    },
    flush,
  };
}
