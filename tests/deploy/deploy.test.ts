/**
 * deploy/ is what nobody runs here, for there is no container engine. So what can go stale is held to the program: every
 * metric that a dashboard, a rule or a document names is one that a scrape has, every flag and variable is a setting,
 * every file that is copied or mounted is there. Prometheus's and systemd's own checkers do the rest where they are installed.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { settingDescriptions as peerSettings } from "../../server/config.ts";
import { gatewaySettings } from "../../server/gateway/config.ts";
import type { Family } from "../../server/metrics/family.ts";
import { gatewayFamilies } from "../../server/metrics/gateway-families.ts";
import { peerFamilies } from "../../server/metrics/peer-families.ts";
import { projectRoot, tempDirectory } from "../support/processes.ts";
import { promtool, skipWithoutPromtool } from "../support/promtool.ts";
import { missingProgram } from "../support/redis-process.ts";

const deploy = (path: string): string => join(projectRoot, "deploy", path);
const read = (path: string): string => readFileSync(deploy(path), "utf8");

const families = new Map<string, Family<never>>(
  [...(peerFamilies as readonly Family<never>[]), ...(gatewayFamilies as readonly Family<never>[])].map((family) => [
    family.name,
    family,
  ]),
);

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
  readonly annotations: { readonly list: readonly { readonly expr?: string }[] };
}

const dashboard = JSON.parse(read("grafana/dashboards/chorus.json")) as Dashboard;

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}
const rules = (parse(read("prometheus/chorus.rules.yml")) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);

/** Every expression, with where it is. */
const expressions = (): readonly (readonly [where: string, expression: string])[] => [
  ...rules.map(({ alert, expr }) => [`alert ${alert}`, expr] as const),
  ...dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [`panel ${title}`, expr] as const),
  ),
  ...dashboard.annotations.list.flatMap(({ expr }) => (expr === undefined ? [] : [["annotation", expr] as const])),
  ...dashboard.templating.list.map(({ name, query }) => [`variable ${name}`, JSON.stringify(query)] as const),
];

const metricName = /\b(?:chorus|process|nodejs)_[a-z0-9_]+\b/g;

describe("metrics named in deploy/", () => {
  test("every one is in a scrape, with the labels that are asked for", () => {
    for (const [where, expression] of expressions()) {
      for (const match of expression.matchAll(metricName)) {
        const [name] = match;
        const base = name.replace(/_(bucket|sum|count)$/, "");
        const family = families.get(name) ?? families.get(base);
        assert.ok(family, `${where}: there is no ${name}`);
        if (family.type === "histogram") assert.notEqual(base, name, `${where}: ${name} is a histogram`);
        const selector = /^\{([^}]*)\}/.exec(expression.slice(match.index + name.length))?.[1] ?? "";
        for (const [, label] of selector.replaceAll("\\", "").matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g)) {
          const known = ["job", "instance", "le", ...(family.labels ?? [])];
          assert.ok(known.includes(label ?? ""), `${where}: ${name} has no label ${label}`);
        }
      }
    }
  });

  test("the dashboard shows nearly all there is", () => {
    const text = JSON.stringify(dashboard);
    const left = [...families.keys()].filter((name) => name.startsWith("chorus_") && !text.includes(name));
    // Of a kind that a table or an alert shows better than a graph.
    const elsewhere =
      /^chorus_(build_info|gateway_info|alarms|check_ok|clock_skew_state|paused_origins|tombstone_bytes|turns_total|link_up|pubsub_subscriptions|event_loop_stalls_total|gateway_.*)$/;
    assert.deepEqual(
      left.filter((name) => !elsewhere.test(name)),
      [],
    );
  });

  test("panels have ids of their own and do not overlap", () => {
    const { panels } = dashboard;
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const cells = new Set<string>();
    for (const { title, gridPos } of panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          assert.ok(!cells.has(`${x},${y}`), `panel ${title} lies on another`);
          cells.add(`${x},${y}`);
        }
      }
    }
  });

  test("every alert is explained where its runbook says, and nothing else is", () => {
    const text = readFileSync(join(projectRoot, "docs/OPERATIONS.md"), "utf8");
    const explained = [...text.matchAll(/^#### (Chorus[A-Za-z]+)$/gm)].map((match) => (match[1] ?? "").toLowerCase());
    const wanted = rules.map(({ alert, annotations }) => {
      const anchor = /^docs\/OPERATIONS\.md#([a-z]+)$/.exec(annotations["runbook"] ?? "")?.[1];
      assert.ok(anchor, `${alert} has no runbook`);
      return anchor;
    });
    assert.deepEqual([...new Set(wanted)].sort(), [...explained].sort());
  });

  test("docs/OPERATIONS.md names no metric that there is not", () => {
    const text = readFileSync(join(projectRoot, "docs/OPERATIONS.md"), "utf8");
    for (const [name] of text.matchAll(metricName)) {
      const isOther = ["chorus_publish_missed"].includes(name);
      assert.ok(isOther || families.has(name) || families.has(name.replace(/_(bucket|sum|count)$/, "")), name);
    }
  });

  test("promtool finds configuration, rules and the dashboard's expressions right", {
    skip: skipWithoutPromtool,
  }, (t) => {
    const cwd = deploy("prometheus");
    for (const given of [
      ["check", "config", "prometheus.yml"],
      ["check", "rules", "chorus.rules.yml"],
      ["test", "rules", "chorus.rules.test.yml"],
    ]) {
      const { code, text } = promtool(given, { cwd });
      assert.equal(code, 0, `promtool ${given.join(" ")}: ${text}`);
    }
    // A dashboard's expressions are parsed as rules: promtool has no other door for them.
    const records = dashboard.panels
      .flatMap(({ targets = [] }) => targets)
      .map(({ expr }, at) => ({ record: `panel:${at}`, expr: expr.replaceAll("$__rate_interval", "1m") }));
    const file = join(tempDirectory(t), "panels.json");
    writeFileSync(file, JSON.stringify({ groups: [{ name: "panels", rules: records }] }));
    const { code, text } = promtool(["check", "rules", file]);
    assert.equal(code, 0, text);
  });

  test("every alert has a test that sees it fire", () => {
    const tests = parse(read("prometheus/chorus.rules.test.yml")) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    const fired = new Set(
      tests.tests.flatMap((each) =>
        each.alert_rule_test.filter((one) => one.exp_alerts.length > 0).map(({ alertname }) => alertname),
      ),
    );
    assert.deepEqual(
      rules.map(({ alert }) => alert).filter((alert) => !fired.has(alert)),
      [],
    );
  });
});

// ---- Settings ---------------------------------------------------------------------------------------------------------

const variables = new Set([...peerSettings, ...gatewaySettings].map(({ variable }) => variable));
const notVariables = new Set(["CHORUS_PORT", "CHORUS_GATEWAY_PORT"]);

const filesOf = (folder: string): readonly string[] =>
  readdirSync(deploy(folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(deploy(path)).isFile());

describe("settings named in deploy/", () => {
  test("every CHORUS_ variable is a setting of a peer or a gateway", () => {
    for (const path of filesOf(".")) {
      for (const [name] of read(path).matchAll(/\bCHORUS_[A-Z_]*[A-Z]\b/g)) {
        assert.ok(variables.has(name) || notVariables.has(name), `${path}: ${name} is no setting`);
      }
    }
  });

  test("every command line is one that the program takes", () => {
    const { services } = parse(read("compose.yaml"), { merge: true }) as { services: Record<string, Service> };
    const subcommands = ["peer", "gateway"];
    for (const [name, { command, build }] of Object.entries(services)) {
      if (build === undefined || ["keys", "load"].includes(name)) continue;
      assert.ok(subcommands.includes(command?.[0] ?? ""), `service ${name}: ${String(command)}`);
    }
    const load = spawnSync(process.execPath, ["--import", "tsx", "scripts/load.ts", "--help"], {
      cwd: projectRoot,
      encoding: "utf8",
    });
    for (const word of services["load"]?.command ?? []) {
      if (word.startsWith("--")) assert.ok(load.stdout.includes(`${word} `), `npm run load has no ${word}`);
    }
    for (const unit of filesOf("systemd")) {
      for (const [, subcommand] of read(unit).matchAll(/^ExecStart=.*main\.js (.*)$/gm)) {
        assert.ok(subcommands.includes(subcommand ?? ""), `${unit}: ${subcommand}`);
      }
    }
  });
});

// ---- Files ------------------------------------------------------------------------------------------------------------

interface Service {
  readonly image?: string;
  readonly build?: unknown;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly profiles?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>> | readonly string[];
}

describe("the image", () => {
  const dockerfile = read("Dockerfile");

  test("copies only what is there, and what .dockerignore lets through", () => {
    const allowed = read("Dockerfile.dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    for (const [, words = ""] of dockerfile.matchAll(/^COPY (?!--from)(.*)$/gm)) {
      for (const source of words.split(" ").slice(0, -1)) {
        assert.ok(existsSync(join(projectRoot, source)), `there is no ${source}`);
        assert.ok(
          allowed.some((path) => source === path || source.startsWith(`${path}/`)),
          `.dockerignore leaves ${source} out`,
        );
      }
    }
  });

  test("has what the compiler is told to compile", () => {
    const { include } = JSON.parse(readFileSync(join(projectRoot, "tsconfig.build.json"), "utf8")) as {
      include: string[];
    };
    for (const folder of include) assert.match(dockerfile, new RegExp(`^COPY ${folder} ${folder}$`, "m"));
  });

  test("runs as nobody special, by commands without a shell, and checks itself without curl", () => {
    assert.match(dockerfile, /^USER node$/m);
    for (const instruction of ["RUN", "ENTRYPOINT", "CMD"]) {
      for (const [line] of dockerfile.matchAll(new RegExp(`^\\s*${instruction} .*$`, "gm"))) {
        assert.match(line, /^\s*[A-Z]+ \[".*"\]$/, line);
      }
    }
    assert.doesNotMatch(dockerfile, /^[^#]*\bcurl\b/m);
  });

  test("its health check says 0 for ready and 1 for anything else", async (t) => {
    const server = createServer((request, response) => {
      response.writeHead(request.url === "/readyz" ? 200 : 503).end("[-]gate failed: catching up\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const check = (path: string, at = port): Promise<readonly [code: number | null, out: string]> =>
      new Promise((resolve, reject) => {
        const child = spawn(process.execPath, [deploy("healthcheck.js"), `http://127.0.0.1:${at}${path}`]);
        let out = "";
        child.stdout.setEncoding("utf8").on("data", (text: string) => {
          out += text;
        });
        child.on("error", reject);
        child.on("close", (code) => resolve([code, out]));
      });
    assert.deepEqual(await check("/readyz"), [0, ""]);
    const [code, out] = await check("/other");
    assert.equal(code, 1);
    assert.match(out, /answered 503: \[-\]gate failed/);
    assert.equal((await check("/readyz", 1))[0], 1);
  });

  test("keys are made once, each of its own, readable by their owner alone", (t) => {
    const directory = join(tempDirectory(t), "keys");
    const make = (): void => {
      const { status, stderr } = spawnSync("sh", [deploy("make-keys.sh"), directory], { encoding: "utf8" });
      assert.equal(status, 0, stderr);
    };
    make();
    const [secret, password] = ["secret", "password"].map((name) => readFileSync(join(directory, name), "utf8"));
    assert.match(secret ?? "", /^[0-9a-f]{64}$/);
    assert.match(password ?? "", /^[0-9a-f]{64}$/);
    assert.notEqual(secret, password);
    for (const name of ["secret", "password"]) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o400);
    make();
    assert.equal(readFileSync(join(directory, "secret"), "utf8"), secret);
    assert.deepEqual(readdirSync(directory).sort(), ["password", "secret"]);
  });
});

describe("compose.yaml", () => {
  const { services, volumes } = parse(read("compose.yaml"), { merge: true }) as {
    services: Record<string, Service>;
    volumes: Record<string, unknown>;
  };

  test("has three peers that know each other, and publishes on loopback only", () => {
    for (const name of ["a", "b", "c"]) {
      const environment = services[name]?.environment ?? {};
      assert.equal(environment["CHORUS_NAME"], name);
      assert.equal(environment["CHORUS_PEERS"], "a=a:6001,b=b:6001,c=c:6001");
    }
    const published = Object.values(services).flatMap(({ ports = [] }) => ports);
    for (const port of published) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/);
    const outside = published.map((port) => port.split(":")[1]);
    assert.equal(new Set(outside).size, outside.length);
  });

  test("mounts only volumes and files that are there; what depends on something names a service", () => {
    for (const [name, service] of Object.entries(services)) {
      for (const volume of service.volumes ?? []) {
        const source = volume.split(":")[0] ?? "";
        const isThere = source.startsWith(".") ? existsSync(deploy(source)) : source in volumes;
        assert.ok(isThere, `service ${name}: ${volume}`);
      }
      const { depends_on: wanted = {} } = service;
      for (const other of Array.isArray(wanted) ? (wanted as string[]) : Object.keys(wanted)) {
        assert.ok(other in services, `service ${name} depends on ${other}`);
      }
    }
  });

  test("Prometheus asks the services that there are", () => {
    const config = parse(read("prometheus/prometheus.yml")) as {
      scrape_configs: { static_configs: { targets: string[] }[] }[];
    };
    const targets = config.scrape_configs.flatMap((job) => job.static_configs.flatMap((each) => each.targets));
    assert.deepEqual(
      targets.map((target) => target.split(":")[0]).filter((name) => !((name ?? "") in services)),
      [],
    );
    // A gateway answers only to names it was given.
    assert.equal(services["gateway"]?.environment?.["CHORUS_GATEWAY_HOSTS"], "gateway");
  });

  const skip = missingProgram("docker-compose") ?? false;
  test("docker-compose reads it, with every profile", { skip }, () => {
    const given = ["-f", deploy("compose.yaml"), "--profile", "observe", "--profile", "load", "config", "-q"];
    const { status, stderr } = spawnSync("docker-compose", given, { encoding: "utf8", timeout: 60_000 });
    assert.equal(status, 0, stderr);
  });
});

describe("systemd units", () => {
  const skip = missingProgram("systemd-analyze") ?? false;
  test("systemd-analyze verify finds nothing", { skip }, (t) => {
    const directory = tempDirectory(t);
    mkdirSync(directory, { recursive: true });
    const units = ["chorus-peer@.service", "chorus-gateway.service"];
    for (const unit of units) {
      copyFileSync(deploy(`systemd/${unit}`), join(directory, unit.replace("@.", "@a.")));
      // Where node is elsewhere, that is no fault of the unit's.
      const path = join(directory, unit.replace("@.", "@a."));
      writeFileSync(path, readFileSync(path, "utf8").replace("/usr/bin/node", process.execPath));
    }
    const given = ["verify", "--man=no", ...units.map((unit) => join(directory, unit.replace("@.", "@a.")))];
    const { status, stdout, stderr } = spawnSync("systemd-analyze", given, { encoding: "utf8", timeout: 60_000 });
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.equal(`${stdout}${stderr}`, "");
  });
});

interface Kubernetes {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  // Checked below, path by path.
  // biome-ignore lint/suspicious/noExplicitAny: manifests have no types here
  readonly spec: any;
}

describe("Kubernetes manifests", () => {
  const objects = parseAllDocuments(read("kubernetes/chorus.yaml"), { version: "1.1" }).map(
    (document) => document.toJS() as Kubernetes,
  );
  const only = (kind: string, name: string): Kubernetes => {
    const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
    assert.equal(found.length, 1, `${kind} ${name}`);
    return found[0] as Kubernetes;
  };
  const set = only("StatefulSet", "chorus");
  const deployment = only("Deployment", "chorus-gateway");

  test("selectors select the pods that the templates make", () => {
    for (const { spec } of [set, deployment])
      assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels);
    const peers = set.spec.template.metadata.labels;
    const gateways = deployment.spec.template.metadata.labels;
    assert.deepEqual(only("Service", "chorus-peers").spec.selector, peers);
    assert.deepEqual(only("Service", "chorus").spec.selector, gateways);
    assert.deepEqual(only("PodDisruptionBudget", "chorus-peers").spec.selector.matchLabels, peers);
    assert.deepEqual(only("PodDisruptionBudget", "chorus-gateways").spec.selector.matchLabels, gateways);
  });

  test("peers are named as the list of peers names them, by a headless service that shows them before they are ready", () => {
    const service = only("Service", "chorus-peers");
    assert.equal(set.spec.serviceName, service.metadata.name);
    assert.equal(service.spec.clusterIP, "None");
    assert.equal(service.spec.publishNotReadyAddresses, true);
    assert.equal(set.spec.podManagementPolicy, "Parallel");
    const env = environmentOf(set);
    const names = Array.from({ length: set.spec.replicas as number }, (_, at) => `chorus-${at}`);
    assert.equal(env.get("CHORUS_PEERS"), names.map((name) => `${name}=${name}.chorus-peers:6001`).join(","));
    assert.equal(
      environmentOf(deployment).get("CHORUS_GATEWAY_PEERS"),
      names.map((name) => `${name}.chorus-peers:6001`).join(","),
    );
  });

  test("keys are copied to their owner alone: a Secret's own files are readable by the fsGroup", () => {
    for (const { spec } of [set, deployment]) {
      const pod = spec.template.spec;
      const [keys] = pod.initContainers;
      assert.deepEqual(keys.command.slice(0, 3), ["install", "-m", "0400"]);
      assert.equal(pod.volumes.find((volume: { name: string }) => volume.name === "secret").secret.defaultMode, 0o400);
      assert.equal(pod.securityContext.runAsUser, 1000);
      assert.equal(pod.securityContext.fsGroup, 1000);
      assert.equal(pod.enableServiceLinks, false);
      const names = new Set(pod.volumes.map((volume: { name: string }) => volume.name));
      for (const claim of spec.volumeClaimTemplates ?? []) names.add(claim.metadata.name);
      for (const container of [...pod.initContainers, ...pod.containers]) {
        assert.equal(container.securityContext.readOnlyRootFilesystem, true);
        for (const mount of container.volumeMounts) assert.ok(names.has(mount.name), `volume ${mount.name}`);
      }
    }
  });

  test("probes ask the paths that there are, at the ports that are listened on", () => {
    for (const [{ spec }, http] of [
      [set, 6001],
      [deployment, 5000],
    ] as const) {
      const [container] = spec.template.spec.containers;
      const ports = new Map(
        container.ports.map((port: { name: string; containerPort: number }) => [port.name, port.containerPort]),
      );
      assert.equal(ports.get("http"), http);
      assert.deepEqual(container.livenessProbe.httpGet, { path: "/livez", port: "http" });
      assert.deepEqual(container.readinessProbe.httpGet, { path: "/readyz", port: "http" });
    }
    const service = only("Service", "chorus");
    assert.deepEqual(
      service.spec.ports.map((port: { targetPort: string }) => port.targetPort),
      ["http", "redis"],
    );
  });
});

const environmentOf = ({ spec }: Kubernetes): ReadonlyMap<string, string> =>
  new Map(
    spec.template.spec.containers[0].env.map((each: { name: string; value?: string }) => [each.name, each.value ?? ""]),
  );
