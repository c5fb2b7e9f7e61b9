import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeProxyHeader, type ParsedProxyHeader, parseProxyHeader } from "../../protocol/proxy-protocol.ts";

const to = { address: "10.0.0.2", port: 5100 };
const signature = "\r\n\r\n\0\r\nQUIT\n";

test("what is encoded is parsed, also a byte at a time, and nothing behind it is touched", () => {
  for (const version of ["v1", "v2"] as const) {
    for (const [address, target, parsed] of [
      ["10.0.0.1", "10.0.0.2", "10.0.0.1"],
      ["::ffff:10.0.0.1", "10.0.0.2", version === "v1" ? "10.0.0.1" : "10.0.0.1"],
      ["2001:db8::1", "::1", version === "v1" ? "2001:db8::1" : "2001:db8:0:0:0:0:0:1"],
    ] as const) {
      const header = encodeProxyHeader(version, { address, port: 50_123 }, { address: target, port: 5100 });
      for (let at = 1; at < header.length; at++)
        assert.equal(parseProxyHeader(header.slice(0, at)).kind, "partial", `${version} ${address} ${at}`);
      assert.deepEqual(parseProxyHeader(`${header}PING\r\n`), {
        kind: "whole",
        bytes: header.length,
        from: { address: parsed, port: 50_123 },
      } satisfies ParsedProxyHeader);
    }
  }
  assert.equal(
    encodeProxyHeader("v1", { address: "10.0.0.1", port: 1 }, to),
    "PROXY TCP4 10.0.0.1 10.0.0.2 1 5100\r\n",
  );
});

test("addresses of two families, or none, name nobody", () => {
  for (const version of ["v1", "v2"] as const) {
    const header = encodeProxyHeader(version, { address: "::1", port: 1 }, to);
    assert.deepEqual(parseProxyHeader(header), { kind: "whole", bytes: header.length, from: undefined });
  }
});

test("what breaks a rule is refused", () => {
  const table: readonly (readonly [text: string, why: RegExp])[] = [
    ["GET / HTTP/1.1\r\n", /no PROXY header/],
    ["*1\r\n$4\r\nPING\r\n", /no PROXY header/],
    [`PROXY TCP4 ${"1".repeat(120)}`, /too long/],
    ["PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", /address/],
    ["PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", /address/],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 x 2\r\n", /port/],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", /port/],
    [`${signature}\x31\x11\0\x0c${"\0".repeat(12)}`, /version/],
    [`${signature}\x21\x11\xff\xff`, /65551 bytes/],
    [`${signature}\x21\x11\0\x04\0\0\0\0`, /too short/],
  ];
  for (const [text, why] of table) {
    const parsed = parseProxyHeader(text);
    assert(parsed.kind === "bad", JSON.stringify(text));
    assert.match(parsed.why, why);
  }
});

test("extensions behind the addresses are skipped; LOCAL names nobody", () => {
  const whole = `${signature}\x21\x11\0\x0f\x0a\0\0\x01\x0a\0\0\x02\x12\x34\x13\xec\x04\0\0`;
  assert.deepEqual(parseProxyHeader(whole), {
    kind: "whole",
    bytes: 31,
    from: { address: "10.0.0.1", port: 0x1234 },
  });
  assert.deepEqual(parseProxyHeader(`${signature}\x20\x00\0\0rest`), { kind: "whole", bytes: 16, from: undefined });
});
