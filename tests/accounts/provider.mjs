// A real OpenID Connect provider on a loopback port. Anybody signs in under any name with any password; what is said of
// them is what was sent to /people/<name>. Prints its issuer when it listens.
import http from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, callback] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(createRequire(`${modules}/`).resolve("oidc-provider")));

const people = new Map();
const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: "pharos", client_secret: "only-for-the-tests", redirect_uris: [callback] }],
    claims: {
      openid: ["sub"],
      profile: ["preferred_username", "name", "groups", "realm_access"],
      email: ["email", "email_verified"],
    },
    cookies: { keys: ["only-for-the-tests"] },
    pkce: { required: () => true },
    async findAccount(context, id) {
      return { accountId: id, claims: async () => ({ ...people.get(id), sub: id }) };
    },
  });
  const answer = provider.callback();
  server.on("request", async (request, response) => {
    if (!request.url.startsWith("/people/")) return answer(request, response);
    const parts = [];
    for await (const part of request) parts.push(part);
    people.set(request.url.slice("/people/".length), JSON.parse(Buffer.concat(parts)));
    return response.end();
  });
  console.log(issuer);
});
process.stdin.resume().on("end", () => process.exit()); // goes with whoever started it
