/**
 * A bare node:http server that answers every request with the same bytes: what the gateway's HTTP port is measured beside.
 * `bare-server.js BODY [NAME VALUE]...`, both latin1; its port on standard output.
 */
import { createServer } from "node:http";

const [text = "", ...headers] = process.argv.slice(2);
const body = Buffer.from(text, "latin1");
const server = createServer((_request, response) => {
  response.writeHead(200, headers);
  response.end(body);
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`${typeof address === "object" && address !== null ? address.port : 0}\n`);
});
