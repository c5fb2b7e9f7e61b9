/** The configuration schema as commander options, and what was typed back as setting values. */
import { type Command, Option } from "commander";
import { type ConfigSources, type SettingDescription, type SettingKey, settingDescriptions } from "../config.ts";

export const addSettingOptions = (
  command: Command,
  wanted: (setting: SettingDescription) => boolean = () => true,
): void => {
  for (const { flag, argument, summary, defaultText, repeatable } of settingDescriptions.filter(wanted)) {
    const text = `${summary} (default: ${defaultText})`;
    if (argument !== undefined) {
      const option = new Option(`--${flag} <${argument}>`, text);
      if (repeatable === true) option.argParser((value, earlier: string[] = []) => [...earlier, ...value.split(",")]);
      command.addOption(option);
    } else {
      command.addOption(new Option(`--${flag}`, summary));
      // Off again, against a variable or a file that says on.
      command.addOption(new Option(`--no-${flag}`).hideHelp());
    }
  }
  command.addOption(
    new Option("--config <FILE>", 'settings as JSON, such as {"tcp": 5002}; CHORUS_CONFIG does the same'),
  );
};

/** Only what was typed: commander's own defaults (for `--no-x`) are no wish of anybody. */
export const typedSettings = (command: Command): ConfigSources["flags"] => {
  const typed: Partial<Record<SettingKey | "config", unknown>> = {};
  const keys: readonly (SettingKey | "config")[] = [...settingDescriptions.map(({ key }) => key), "config"];
  for (const key of keys) if (command.getOptionValueSource(key) === "cli") typed[key] = command.getOptionValue(key);
  return typed;
};
