/** The status page in a real browser: what it shows of peers and gateways, and that no key or value can run in it. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import type { GatewayStatus } from "../../protocol/gateway-status.ts";
import { statusPage } from "../../server/web/status-page.ts";
import { type PeerForTest, startPeerForTest } from "../support/peer-for-test.ts";
import { until } from "../support/processes.ts";
import { withCluster } from "../support/real-cluster.ts";
import { ask, serveBackend } from "./support.ts";

const executablePath = [
  "/usr/bin/chromium-headless-shell",
  "/usr/bin/chromium",
  "/usr/bin/google-chrome-stable",
  "/usr/bin/google-chrome",
].find((path) => existsSync(path));
const skip = executablePath === undefined ? "there is no chromium-headless-shell" : false;
const slowMs = 60_000;

test("is one answer that loads nothing and may do nothing but run its own script", async (t) => {
  const { port } = await serveBackend(t, { call: () => Promise.reject(new Error("not asked")) });
  const { status, headers, text } = await ask(port, "/");
  assert.deepEqual([status, headers["content-type"]], [200, "text/html; charset=utf-8"]);
  assert.equal(text, statusPage().html);
  assert(text.length < 64 * 1024, `${text.length} bytes`);
  assert.doesNotMatch(text, /(?:src|href)="(?:https?:)?\/\/|@import|url\(/, "an asset of somewhere else");
  assert.doesNotMatch(text, /innerHTML|insertAdjacentHTML|document\.write|eval\(/);
  const policy = String(headers["content-security-policy"]);
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  assert.equal((await ask(port, "/", { method: "HEAD" })).text, "");
});

describe("in a browser", { skip }, () => {
  let browser: Browser;
  before(
    async () => {
      // A container's root has no sandbox; the pages are our own.
      browser = await puppeteer.launch({
        executablePath: executablePath ?? "",
        args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        timeout: slowMs,
        protocolTimeout: slowMs,
      });
    },
    { timeout: 2 * slowMs },
  );
  after(() => browser?.close());

  /** Fails for every complaint of the browser: a broken policy, an error in the script. */
  const open = async (port: number, at: { width: number; height: number } = { width: 1200, height: 900 }) => {
    const page = await browser.newPage();
    page.setDefaultTimeout(slowMs);
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      // Of a key that is not there; the page says so itself.
      if (message.type() === "error" && !message.text().includes("404")) complaints.push(message.text());
    });
    const requested: string[] = [];
    page.on("request", (request) => requested.push(request.url()));
    await page.setViewport(at);
    await page.goto(`http://127.0.0.1:${port}/`, { timeout: slowMs });
    await page.waitForSelector("#peers tbody tr");
    return { page, complaints, requested };
  };
  const textOf = (page: Page, selector: string): Promise<string> =>
    page.$eval(selector, (node) => (node as unknown as { innerText: string }).innerText);
  const lookUp = async (page: Page, key: string): Promise<void> => {
    await page.$eval("#key", (input, value) => ((input as unknown as { value: string }).value = value), key);
    await page.click("#look button");
  };

  describe("a single peer's page", () => {
    let peer: PeerForTest;
    before(async () => {
      peer = await startPeerForTest();
    });
    after(() => peer.stop());

    test("looks up keys, shows any bytes, and runs none of them", async () => {
      const evil = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>";
      await ask(peer.httpPort, `/kv/${encodeURIComponent(evil)}`, { method: "PUT", body: evil });
      await ask(peer.httpPort, "/kv/bin%ff%00?ttl=90", { method: "PUT", body: Buffer.from([0, 255, 65]) });
      await ask(peer.httpPort, "/kv/..%2f", { method: "PUT", body: "dots" });
      const { page, complaints, requested } = await open(peer.httpPort);
      assert.match(await textOf(page, "#who"), /^peer a$/);
      assert.equal(await textOf(page, "#verdict"), "One peer");
      await lookUp(page, "no such key");
      await until("not found", async () => (await textOf(page, "#found")).includes("no such key"));
      await lookUp(page, evil);
      await until("the value", async () => (await textOf(page, "#found")).includes(evil));
      await lookUp(page, "../");
      await until("the value", async () => (await textOf(page, "#found")).includes("dots"));
      // By its prefix, from the list.
      await page.$eval("#key", (input) => ((input as unknown as { value: string }).value = ""));
      await page.type("#key", "bi");
      await page.waitForSelector("#keys button");
      await until("only that", async () => (await page.$$("#keys button")).length === 1);
      await page.click("#keys button");
      await until("bytes in hex", async () => (await textOf(page, "#found")).includes("000000  00 ff 41"));
      assert.match(await textOf(page, "#found"), /expires in 1 min/);
      assert.doesNotMatch(await page.title(), /run/);
      assert.deepEqual(complaints, []);
      const others = requested.filter(
        (url) => !url.startsWith(`http://127.0.0.1:${peer.httpPort}/`) && !url.startsWith("data:"),
      );
      assert.deepEqual(others, []);
      await page.close();
    });

    test("fits a phone, in light and in dark", async () => {
      for (const scheme of ["light", "dark"]) {
        const { page, complaints } = await open(peer.httpPort, { width: 360, height: 740 });
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        await page.waitForSelector("#tiles dd");
        // Strings, since this project's types have no DOM.
        assert.equal(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), true);
        const background = await page.evaluate("getComputedStyle(document.body).backgroundColor");
        assert.equal(background, scheme === "light" ? "rgb(246, 246, 249)" : "rgb(18, 17, 23)");
        assert.deepEqual(complaints, []);
        await page.close();
      }
    });
  });

  test("a peer's page says identical on evidence, names who is missing, and says when nobody answers", (t) =>
    withCluster(t, {}, async (cluster) => {
      const [a, , c] = cluster.peers;
      assert(a !== undefined && c !== undefined);
      const { page, complaints } = await open(a.httpPort);
      await ask(a.httpPort, "/set?key=k&value=v");
      await until("identical", async () => (await textOf(page, "#verdict")) === "Identical");
      assert.equal((await page.$$("#peers tbody tr")).length, 3);
      assert.equal((await page.$$('#topology line[data-tone="good"]')).length, 2);
      await c.kill();
      await until("two of three", async () => (await textOf(page, "#verdict")) === "2 of 3 peers");
      assert.match(await textOf(page, "#verdict-why"), /^Without c/);
      assert.match(await textOf(page, '[data-peer="c"]'), /no link/);
      assert.deepEqual(complaints, []);
      await a.kill();
      await until("no answer", async () => (await textOf(page, "#live")).startsWith("no answer"));
      await page.close();
      await a.start();
      await c.start();
    }));

  test("a gateway's page shows all its peers", async (t) => {
    const peer = await startPeerForTest();
    t.after(() => peer.stop());
    const report = JSON.parse((await ask(peer.httpPort, "/status")).text);
    const status: GatewayStatus = {
      format: 1,
      gateway: {
        version: "1.2.3",
        pid: 1,
        uptimeSeconds: 90,
        httpPort: 5000,
        tcpPort: 5100,
        requestsPerSecond: 1234,
        tcpConnections: 3,
        writesTo: "a",
        cache: { entries: 1, bytes: 2048, bytesMax: 4096, hits: 3, misses: 1, bypasses: 0, trusted: true },
      },
      ready: true,
      reasons: [],
      peers: [
        { name: "a", address: "127.0.0.1:1", state: "up", why: "", status: report },
        { name: "<b>", address: "javascript:alert(1)", state: "down", why: "refused", status: null },
      ],
    };
    const { port } = await serveBackend(t, { call: () => Promise.reject(new Error("x")) }, { status: () => status });
    const { page, complaints } = await open(port);
    assert.equal(await textOf(page, "#who"), "gateway");
    assert.equal(await textOf(page, "#verdict"), "1 of 2 peers");
    assert.match(await textOf(page, "#tiles"), /Cache hits\s+75\.0%/);
    assert.match(await textOf(page, "#rate"), /1,234/);
    assert.match(await textOf(page, "#peers"), /<b>[\s\S]*down\s+refused/);
    assert.equal((await page.$$("#peers a")).length, 1, "what is no address is no link");
    assert.deepEqual(complaints, []);
    await page.close();
  });
});
