/** What was published on its way to other peers. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { DecodeFault } from "../../protocol/bytes.ts";
import { framesMessageBytes, linkQueueHighBytes } from "../../protocol/limits.ts";
import { decodeLinkMessage } from "../../protocol/link-messages.ts";
import { decodePublished, encodePublished, publishedKind } from "../../protocol/published.ts";
import { PublishRelay } from "../../server/pubsub/relay.ts";

const binary = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });

describe("published messages between peers", () => {
  test("come out as they went in", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ channel: binary, message: binary }), { maxLength: 20 }), (all) => {
        const plain = all.map((one) => ({ ...one }));
        assert.deepEqual(decodePublished(encodePublished(all)), plain);
      }),
    );
    const bytes = encodePublished([{ channel: "ab", message: "c" }]);
    assert.equal(bytes.toString("hex"), "13026162" + "0163");
    assert.throws(() => decodeLinkMessage(bytes), DecodeFault, "the replica never sees them");
  });

  test("cut short or too long they are refused", () => {
    const bytes = encodePublished([{ channel: "channel", message: "message" }]);
    for (let length = 2; length < bytes.length; length += 1) {
      // Cut behind the channel it is a pair without its second half.
      assert.throws(() => decodePublished(bytes.subarray(0, length)), DecodeFault, String(length));
    }
    const claim = Buffer.from([publishedKind, 0xff, 0xff, 0xff, 0x7f]);
    assert.throws(() => decodePublished(claim), DecodeFault);
    assert.throws(() => decodePublished(encodePublished([{ channel: "c".repeat(65_537), message: "" }])), DecodeFault);
  });

  test("those of a turn go as one, and a link that is full or gone misses them", () => {
    const sent: [number, number][] = [];
    const links = [
      { id: 1, queuedBytes: 0 },
      { id: 2, queuedBytes: linkQueueHighBytes + 1 },
    ];
    const relay = new PublishRelay({
      links: () => links,
      send: (link, message) => sent.push([link, decodePublished(message).length]),
      deliver: () => assert.fail("nothing came"),
    });
    relay.flush();
    for (const message of ["1", "2", "3"]) relay.add("c", message);
    assert.deepEqual(sent, []);
    relay.flush();
    relay.flush();
    assert.deepEqual(sent, [[1, 3]]);
    assert.equal(relay.missed, 1);
    relay.add("c", "x".repeat(framesMessageBytes));
    assert.deepEqual(sent, [
      [1, 3],
      [1, 1],
    ]);
  });
});
