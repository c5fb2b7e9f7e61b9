/** Which web pages may open `/client`. Programs send no Origin and may. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectRaw, upgradeRequest } from "../links/harness.ts";
import { startPeerForTest } from "../support/peer-for-test.ts";
import { openClientPort } from "./harness.ts";

const statusOf = async (port: number, host: string, origin: string | undefined): Promise<number> => {
  const socket = await connectRaw(port);
  const headers = origin === undefined ? [] : [`Origin: ${origin}`];
  socket.write(upgradeRequest("/client", ...headers).replace("Host: 127.0.0.1", `Host: ${host}`));
  const [chunk] = (await new Promise((resolve) => socket.once("data", (data: Buffer) => resolve([data])))) as [Buffer];
  socket.destroy();
  return Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(chunk.toString())?.[1]);
};

test("a page of this very host and port may connect, a page of a named origin, and no other", async (t) => {
  const { httpPort } = await openClientPort(t);
  const here = `127.0.0.1:${httpPort}`;
  for (const [host, origin, status, why] of [
    [here, undefined, 101, "a program"],
    ["whatever.example", undefined, 101, "a program that knows us by another name"],
    [here, `http://${here}`, 101, "our own page"],
    ["db1.example", "http://db1.example", 101, "port 80, as given by a forwarder"],
    ["db1.example", "https://db1.example:443", 101, "https behind a forwarder"],
    ["DB1.example:6001", "http://db1.EXAMPLE:6001", 101, "names have no case"],
    [here, "https://app.example", 101, "named by --allow-origin"],
    ["evil.example", "https://app.example", 101, "whatever the host"],
    [here, "http://app.example", 403, "another scheme is another origin"],
    [here, "https://app.example:8443", 403, "another port too"],
    [here, "https://app.example.evil", 403, "another name too"],
    [here, "http://127.0.0.1:1", 403, "another port of this machine"],
    [here, `http://localhost:${httpPort}`, 403, "another name of this machine"],
    ["db1.example", "https://db1.example:80", 403, "https is port 443"],
    [here, "null", 403, "a file, or a sandboxed frame"],
    [here, `http://user@${here}`, 403, "no origin has a user"],
    [here, `ftp://${here}`, 403, "nor this scheme"],
    ["evil.example:6001", "http://evil.example:6001", 403, "a rebound name: the page and we have one name, not ours"],
  ] as const) {
    assert.equal(await statusOf(httpPort, host, origin), status, why);
  }
});

test("a peer started with --allow-origin lets that origin in; * lets any", async (t) => {
  const named = await startPeerForTest({ flags: { allowOrigin: "https://app.example,http://b.example" } });
  t.after(() => named.stop());
  const any = await startPeerForTest({ flags: { allowOrigin: "*" } });
  t.after(() => any.stop());
  for (const [peer, origin, status] of [
    [named, "https://app.example", 101],
    [named, "http://b.example", 101],
    [named, "https://other.example", 403],
    [any, "https://other.example", 101],
    [any, "null", 101],
  ] as const) {
    assert.equal(await statusOf(peer.httpPort, `127.0.0.1:${peer.httpPort}`, origin), status, origin);
  }
});
