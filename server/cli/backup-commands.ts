/** `chorus backup` and `chorus restore`: what may be typed. What they do is in backup.ts and restore.ts, loaded when they run. */
import { type Command, Option } from "commander";
import type { CommandLine } from "./data/commands.ts";

export const addBackupCommands = (program: Command, { examples, setExitCode }: CommandLine): void => {
  program
    .command("backup")
    .description("write all data of a running peer to a file: one consistent cut, checksummed")
    .argument("<FILE>", "must not exist yet; - is standard output")
    .addHelpText(
      "before",
      examples(
        ["chorus backup monday.chorus", "of the cluster that runs in ./data, at a peer that answers"],
        ["chorus backup --peer 10.0.0.1:6001 monday.chorus", "of this peer"],
        ["chorus backup - | zstd | ssh store 'cat > monday.zst'", "compressed, and elsewhere"],
        ["chorus restore --check monday.chorus", "is it whole?"],
      ),
    )
    .addHelpText(
      "after",
      `
Any one peer has all data; take the backup of one that is caught up. It goes on serving meanwhile. FILE gets its name when it
is whole and on disk; a backup that is cut short leaves nothing. Strong keys are not in it: see chorus export.

Exit code: 0 done, 1 not done, 2 wrong usage.`,
    )
    .option("--peer <ADDRESS>", "host:port of its HTTP port")
    .option("--data <DIR>", "the data directory of a running cluster: its first peer that answers", "data")
    .addOption(new Option("--password-file <FILE>", "what the peer asks for (mode 600)").env("CHORUS_PASSWORD_FILE"))
    .option("--force", "replace FILE", false)
    .action(async (file: string, options: { peer?: string; data: string; passwordFile?: string; force: boolean }) => {
      const { runBackup } = await import("./backup.ts");
      setExitCode(await runBackup(file, options));
    });

  program
    .command("restore")
    .description("make a peer's data directory out of a backup")
    .argument("<FILE>", "a backup; - is standard input")
    .addHelpText(
      "before",
      examples(
        ["chorus restore monday.chorus --data data/b", "for a peer whose others live: it catches up with them first"],
        ["chorus restore monday.chorus --data data/a --whole-cluster", "all data was lost: start the others empty"],
        ["chorus restore monday.chorus --data data/b --name b", "a's backup, for peer b"],
        ["zstd -dc monday.zst | chorus restore - --data data/b", ""],
        ["chorus restore --check monday.chorus", "read all of it, write nothing"],
      ),
    )
    .addHelpText(
      "after",
      `
The peer that starts on the directory begins a run of its own. Among living peers it takes no clients until it has caught up
with one: what was deleted since stays deleted, what was written since comes. docs/OPERATIONS.md tells of whole clusters.

Exit code: 0 done, 1 not done (the backup is damaged, the directory is not empty, the disk is full), 2 wrong usage.`,
    )
    .option("--data <DIR>", "where; must not exist or be empty")
    .option("--name <NAME>", "the peer that will start on it (default: the one it was taken of)")
    .option("--whole-cluster", "no other peer has data: this one serves at once", false)
    .option("--check", "only see whether the backup is whole", false)
    .option("--verify", "compare what was restored with the peer's digest (default: when memory allows)")
    .option("--no-verify", "do not compare")
    .action(
      async (
        file: string,
        options: { data?: string; name?: string; wholeCluster: boolean; check: boolean; verify?: boolean },
      ) => {
        const { runRestore } = await import("./restore.ts");
        setExitCode(await runRestore(file, { ...options, verify: options.verify }));
      },
    );
};
