/** Who is let in, and what is refused in one clear line before anything is half-started. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../support/processes.ts";
import { type RealCluster, type RealPeer, sameEverywhere, withCluster } from "../support/real-cluster.ts";

const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const password = "correct horse battery";

const privateFile = (cluster: RealCluster, name: string, content: string, mode = 0o600): string => {
  const path = join(cluster.directory, name);
  writeFileSync(path, `${content}\n`, { mode });
  return path;
};

test("a peer does not listen off loopback without a secret and a password", async (t) => {
  await withCluster(t, { count: 1, start: false, mayFail: true }, async (cluster) => {
    const [a] = cluster.peers as [RealPeer];
    const refused = async (...flags: string[]): Promise<string> => {
      const before = a.log().length;
      assert.notEqual(await a.launch("--bind", "0.0.0.0", ...flags), undefined, "it does not start");
      assert.equal((await a.end()).code, 2);
      const said = a.log().slice(before).trim();
      assert(!said.includes("\n"), `one line: ${said}`);
      return said;
    };
    const secretFile = privateFile(cluster, "secret", secret);
    const passwordFile = privateFile(cluster, "password", password);
    const open = privateFile(cluster, "open", secret, 0o644);
    assert.match(await refused(), /--secret-file.*--password-file/);
    assert.match(await refused("--secret-file", secretFile), /--password-file/);
    assert.match(await refused("--password-file", passwordFile), /--secret-file/);
    assert.match(await refused("--secret-file", open, "--password-file", passwordFile), /chmod 600/);
    assert(!existsSync(a.dataDirectory), "nothing was begun");
    await a.start("--bind", "0.0.0.0", "--secret-file", secretFile, "--password-file", passwordFile);
  });
});

test("peers with a secret and a password: clients must AUTH, and a peer with a wrong secret gets no link", async (t) => {
  await withCluster(t, { start: false }, async (cluster) => {
    const [a, b, c] = cluster.peers as [RealPeer, RealPeer, RealPeer];
    const right = ["--secret-file", privateFile(cluster, "secret", secret)];
    const wrong = ["--secret-file", privateFile(cluster, "wrong", secret.replace("0", "f"))];
    const both = ["--password-file", privateFile(cluster, "password", password)];
    await Promise.all([a.start(...right, ...both), b.start(...right, ...both), c.start(...wrong, ...both)]);
    const client = await a.connect();
    await assert.rejects(client.call("SET", "k", "1"), /NOAUTH Authentication required/);
    await assert.rejects(client.call("GET", "k"), /NOAUTH/);
    await assert.rejects(client.call("AUTH", "wrong password"), /WRONGPASS/);
    await assert.rejects(client.call("SET", "k", "1"), /NOAUTH/);
    assert.equal(await client.call("AUTH", password), "OK");
    assert.equal(await client.call("SET", "k", "1"), "OK");
    client.close();

    const refusal = /"WRONG_SECRET".*c does not know the secret/;
    await until("both sides say why", () => refusal.test(a.log() + b.log()) && refusal.test(c.log()));
    for (const peer of cluster.peers) assert(!peer.log().includes(secret.slice(0, 32)), "no secret in a log");
    await until("a and b are identical", async () => {
      const [one, other] = await cluster.statuses([a, b]);
      return one?.keys === 1 && other?.keys === 1 && one.digest.value === other.digest.value;
    });
    assert.equal((await c.status())?.keys, 0, "nothing went to the stranger");
    await until(
      "a shows that it refuses c",
      async () => (await a.status())?.links.find(({ peer }) => peer === "c")?.state === "refused",
    );

    // With the right one it is let in.
    await c.kill();
    await c.start(...right, ...both);
    await until("c is let in", async () => (await c.status())?.keys === 1);
    await cluster.identical();
  });
});

test("a data directory in use, another peer's directory, another cluster: refused in one clear line", async (t) => {
  await withCluster(t, { count: 2, mayFail: true }, async (cluster) => {
    const [a, b] = cluster.peers as [RealPeer, RealPeer];
    await a.call("SET", "k", "1");
    await cluster.identical();

    await b.kill();
    const refusedBy = async (...flags: string[]): Promise<string> => {
      const before = b.log().length;
      const words = await b.launch(...flags);
      assert.equal((await b.end()).code, 1);
      assert(!b.log().slice(before).includes('"level":60'), "no stack trace for what is not a bug");
      return words ?? "";
    };
    assert.match(await refusedBy("--data", a.dataDirectory), /in use|belongs to|is peer a/);
    await a.stop();
    assert.match(await refusedBy("--data", a.dataDirectory), /belongs to|peer a/);
    const file = join(cluster.directory, "a-file");
    writeFileSync(file, "");
    assert.match(await refusedBy("--data", join(file, "b")), /not a directory|ENOTDIR|cannot/i);

    await a.start();
    await b.start("--cluster", "another");
    await until("the log says why", () => /cluster/.test(b.log().slice(-3000)) && /another/.test(a.log().slice(-3000)));
    await until("a shows that it refuses b", async () => (await a.status())?.links[0]?.state === "refused");
    await b.kill();
    await b.start();
    await cluster.linked();
    assert.equal((await sameEverywhere(cluster)).get("k"), "1");

    // A second process with b's name, ports and data ends; b goes on.
    assert.match((await b.twin().launch()) ?? "", /in use|taken/);
    assert.equal(await b.call("SET", "k", "2"), "OK");
    assert.equal((await sameEverywhere(cluster)).get("k"), "2");
  });
});
