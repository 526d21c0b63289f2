import { paletteTexts } from "../../strings/palette";
import { GROUPS } from "../navigation";
import type { ObjectRef } from "../objects";

/** A line of the palette. */
export interface Entry {
  /** Of no other line. */
  value: string;
  label: string;
  /** What kind it is, or what tells it from others. */
  note?: string;
  act: () => void;
}

/** Lines below a title. */
export interface EntryGroup {
  value: string;
  items: Entry[];
}

type Go = (path: string) => void;

/** Return the screens that a user may see. */
export function screens(go: Go, isMember: boolean): Entry[] {
  return GROUPS.flatMap(({ title, items }) =>
    items
      .filter((item) => !("forAdmins" in item && isMember))
      .map(({ to, label }) => ({ value: `screen ${to}`, label, note: title, act: () => go(to) })),
  );
}

/** Return what can be done on any page. */
export function commands(go: Go, showShortcuts: () => void): Entry[] {
  const { newFlow, uploadModel, createKey, checkSignature, keys } = paletteTexts.commands;
  const leads = [
    [newFlow, "/flows/new"],
    [uploadModel, "/models/upload"],
    [createKey, "/settings/keys/new"],
    [checkSignature, "/webhooks/check"],
  ] as const;
  return [
    ...leads.map(([label, path]) => ({ value: `command ${path}`, label, act: () => go(path) })),
    { value: "command shortcuts", label: keys, note: "?", act: showShortcuts },
  ];
}

/** Return what can be done with the object of a page. */
export function verbs(object: ObjectRef | null, go: Go, copyId: () => void): Entry[] {
  if (!object) return [];
  return [
    ...(LEADS[object.kind]?.(object.id) ?? []).map(([label, path]) => ({
      value: `verb ${path}`,
      label,
      act: () => go(path),
    })),
    { value: "verb copy", label: paletteTexts.copyId, note: "c", act: copyId },
  ];
}

const words = paletteTexts.verbs;
const LEADS: Partial<Record<ObjectRef["kind"], (id: string) => (readonly [string, string])[]>> = {
  flow: (id) => [
    [words.edit, `/flows/${id}/edit`],
    [words.flowDeployments, `/flows/${id}/deploy`],
    [words.deploy, `/flows/${id}/deploy/new`],
  ],
  deployment: (id) => [
    [words.code, `/deployments/${id}/code`],
    [words.try, `/deployments/${id}/try`],
    [words.runs, `/deployments/${id}/runs`],
    [words.usage, `/deployments/${id}/usage`],
    [words.versions, `/deployments/${id}/versions`],
    [words.settings, `/deployments/${id}/settings`],
    [words.webhook, `/deployments/${id}/webhook`],
    [words.redeploy, `/deployments/${id}/redeploy`],
  ],
};

/** Return the groups with the lines that contain a text, without those that have none left. */
export function matching(groups: readonly EntryGroup[], text: string): EntryGroup[] {
  const part = text.trim();
  return groups
    .map(({ value, items }) => ({ value, items: items.filter(({ label }) => contains(label, part)) }))
    .filter(({ items }) => items.length > 0);
}

/** Whether a line contains a text, in capitals or not. */
export function contains(line: string, text: string): boolean {
  return line.toLowerCase().includes(text.toLowerCase());
}
