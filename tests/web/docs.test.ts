/** docs/HTTP.md does what it says: every console example is run with the real curl, and every program. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";

const run = promisify(execFile);
const page = readFileSync(new URL("../../docs/HTTP.md", import.meta.url), "utf8");
const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g"))].map((match) => match[1] ?? "");

const missing = ["curl", "xxd", "bash"].find((program) => spawnSync(program, ["--help"]).error !== undefined);
const skip = missing === undefined ? false : `there is no ${missing}`;

/** `…` is anything, alone on its line any lines. */
const patternOf = (expected: string): RegExp => {
  const escaped = expected.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll(/^…$/gm, "[\\s\\S]*").replaceAll("…", ".*")}$`);
};

describe("docs/HTTP.md", { skip }, () => {
  let peer: PeerForTest;
  before(async () => {
    peer = await startPeerForTest();
  });
  after(() => peer.stop());
  const here = (text: string): string => text.replaceAll("localhost:5000", `127.0.0.1:${peer.httpPort}`);

  for (const block of blocks(page, "console")) {
    const examples = block.split(/^\$ /m).slice(1);
    test(examples[0]?.split("\n")[0] ?? "", async () => {
      // One shell for a block, since later lines use what earlier ones kept. The outputs are told apart by a mark.
      const mark = "-- next example --";
      const commands = examples.map((example) => example.slice(0, example.indexOf("\n")));
      const script = commands.map((command) => `${here(command)}\necho; echo '${mark}'\n`).join("");
      const { stdout } = await run("bash", ["-c", script.replaceAll(/\bcurl /g, "curl -s ")], { timeout: 30_000 });
      const outputs = stdout.split(`${mark}\n`);
      for (const [index, example] of examples.entries()) {
        const expected = example.slice(example.indexOf("\n") + 1);
        assert.match((outputs[index] ?? "").replaceAll("\r", "").trim(), patternOf(expected), commands[index]);
      }
    });
  }

  test("its program", async () => {
    for (const program of blocks(page, "js")) {
      for (const _twice of [1, 2]) await run(process.execPath, ["--input-type=module", "-e", here(program)]);
    }
    const cart = await fetch(`http://127.0.0.1:${peer.httpPort}/kv/cart/7`);
    assert.deepEqual(await cart.json(), ["tea", "tea"]);
  });

  test("the README's curl lines answer what stands behind them", async () => {
    const lines = [...readme.matchAll(/^(curl "http:\/\/localhost:5000.*?) +# (.*)$/gm)];
    assert(lines.length >= 2);
    for (const [, command = "", answer = ""] of lines) {
      const { stdout } = await run("bash", ["-c", here(command)]);
      assert.equal(stdout, answer, command);
    }
  });
});
