/**
 * The arrows of the house (docs/ARCHITECTURE.md): who may import whom. eslint.config.js adds what the pure folders may
 * not name.
 *
 *   scripts, tests -> all        ports, links, commands, cli, peer -> replica, registers, storage -> protocol
 *   cli/tui -> client-tui -> protocol
 */
module.exports = {
  forbidden: [
    {
      name: "no-circles",
      comment: "A circle of files is one file in disguise. Types may refer to each other.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "protocol-imports-nothing",
      comment: "protocol/ is what a stranger needs to speak with us; it knows nothing of the peer.",
      severity: "error",
      from: { path: "^protocol/" },
      to: { path: "^(server|scripts|tests|client-tui)/" },
    },
    {
      name: "the-core-imports-only-protocol",
      comment: "replica/ and registers/ run unchanged in the simulator.",
      severity: "error",
      from: { path: "^server/(replica|registers)/" },
      to: { path: "^(server|scripts|tests|client-tui)/", pathNot: "^server/$1/" },
    },
    {
      name: "storage-imports-only-protocol",
      comment: "Storage keeps bytes; what they mean is the replica's business.",
      severity: "error",
      from: { path: "^server/storage/" },
      to: { path: "^(server|scripts|tests|client-tui)/", pathNot: "^server/storage/" },
    },
    {
      name: "links-and-ports-do-not-know-the-peer",
      comment: "The peer puts them together, so they cannot name it; they meet at small interfaces.",
      severity: "error",
      from: { path: "^server/(links|ports|commands)/" },
      to: { path: "^server/(peer|main)\\.ts$|^server/cli/" },
    },
    {
      name: "a-gateway-is-a-client",
      comment: "What it knows of a peer came over the wire; it runs on another machine.",
      severity: "error",
      from: { path: "^server/gateway/" },
      to: { path: "^server/(replica|registers|storage|links|commands|feed|pubsub|backup)/|^server/(peer|host)\\.ts$" },
    },
    {
      name: "nothing-imports-the-command-line",
      comment: "server/cli and main.ts are the outermost shell.",
      severity: "error",
      from: { path: "^server/", pathNot: "^server/(cli/|main\\.ts$|(gateway/)?config\\.ts$|settings\\.ts$)" },
      to: { path: "^server/(cli/|main\\.ts$)" },
    },
    {
      name: "the-screen-knows-only-the-protocol",
      comment: "client-tui/ is a client like any other: what it knows of a peer came over the wire.",
      severity: "error",
      from: { path: "^client-tui/" },
      to: { path: "^server/" },
    },
    {
      name: "only-chorus-tui-loads-the-screen",
      comment: "Ink and React take a third of a second to load; the other subcommands must not pay for it.",
      severity: "error",
      from: { path: "^server/", pathNot: "^server/cli/tui\\.ts$" },
      to: { path: "^client-tui/|node_modules/(ink|react)/" },
    },
    {
      name: "the-model-draws-nothing",
      comment: "What the screen knows and decides is pure and does not know how it is drawn.",
      severity: "error",
      from: { path: "^client-tui/(model|text|input)/" },
      to: { path: "^client-tui/(views|terminal|program)|^node_modules/(ink|react)/" },
    },
    {
      name: "the-product-does-not-need-scripts-or-tests",
      severity: "error",
      from: { path: "^(protocol|server|client-tui)/" },
      to: { path: "^(scripts|tests)/" },
    },
    {
      name: "scripts-do-not-need-tests",
      comment: "tests/support is shared with the simulator and the bench: simulated network, disk and clock.",
      severity: "error",
      from: { path: "^scripts/" },
      to: { path: "^tests/", pathNot: "^tests/(support|sim)/" },
    },
    {
      name: "not-to-dev-dependencies",
      comment: "What is installed with --omit=dev must run.",
      severity: "error",
      from: { path: "^(protocol|server|client-tui)/" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
    { name: "must-resolve", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
