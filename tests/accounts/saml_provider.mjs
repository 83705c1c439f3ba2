// A real SAML identity provider on a loopback port. Whoever comes says under `subject` who it is, and what is said of that
// person is what was sent to /people/<subject>: attributes, the format of the name, and whether the whole response is
// signed instead of the assertion. Prints its address when it listens; its metadata are at /metadata.
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";

const [modules, answers, keyPath, certificatePath] = process.argv.slice(2);
const samlp = createRequire(`${modules}/`)("samlp");
const [key, cert] = [keyPath, certificatePath].map((path) => readFileSync(path));

function Claims(person) {
  return {
    getClaims: () => person.attributes,
    getNameIdentifier: () => ({ nameIdentifier: person.subject, nameIdentifierFormat: person.format }),
  };
}
Claims.prototype.metadata = [];

const people = new Map();
const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const host = `127.0.0.1:${server.address().port}`;
  const ours = { issuer: `http://${host}/metadata`, key, cert, profileMapper: Claims };
  const metadata = samlp.metadata({ ...ours, redirectEndpointPath: "/sign-in", postEndpointPath: "/sign-in" });

  server.on("request", async (request, response) => {
    const url = new URL(request.url, `http://${host}`);
    // What samlp knows of Express.
    request.protocol = "http";
    request.query = Object.fromEntries(url.searchParams);
    response.set = (name, value) => response.setHeader(name, value);
    response.send = (body) => response.end(String(body));
    if (url.pathname === "/metadata") return metadata(request, response);
    if (url.pathname === "/sign-in") {
      const { subject, SAMLRequest } = request.query;
      if (!people.has(subject)) {
        response.set("Content-Type", "text/html");
        return response.send(`<form><input name="subject"><input type="hidden" name="SAMLRequest" value="${SAMLRequest}">`);
      }
      const { whole = false, ...person } = people.get(subject);
      request.user = { subject, ...person };
      const signIn = samlp.auth({
        ...ours,
        recipient: answers,
        destination: answers,
        signAssertion: !whole,
        signResponse: whole,
        getPostURL: (audience, asked, _, done) => done(null, asked.documentElement.getAttribute("AssertionConsumerServiceURL")),
      });
      return signIn(request, response, (error) => response.writeHead(500).end(String(error)));
    }
    if (request.method !== "POST") return response.writeHead(404).end();
    const parts = [];
    for await (const part of request) parts.push(part);
    people.set(url.pathname.slice("/people/".length), JSON.parse(Buffer.concat(parts)));
    return response.end();
  });
  console.log(`http://${host}`);
});
process.stdin.resume().on("end", () => process.exit()); // goes with whoever started it
