import { shortcutTexts } from "../../strings/palette";

const { groups, actions } = shortcutTexts;

/** Keys that are pressed one after the other; several of these do the same or the opposite. */
interface Shortcut {
  keys: readonly (readonly string[])[];
  action: string;
}

export const MODIFIER = /Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘" : "Ctrl";

/** What keys do, by where they do it. */
export const SHORTCUTS: readonly { title: string; shortcuts: readonly Shortcut[] }[] = [
  {
    title: groups.everywhere,
    shortcuts: [
      { keys: [[`${MODIFIER} K`]], action: actions.palette },
      { keys: [["?"]], action: actions.shortcuts },
      { keys: [["g", "f"]], action: actions.flows },
      { keys: [["g", "d"]], action: actions.deployments },
      { keys: [["g", "r"]], action: actions.runs },
      { keys: [["g", "m"]], action: actions.models },
      { keys: [["g", "k"]], action: actions.keys },
      { keys: [["Esc"]], action: actions.close },
    ],
  },
  {
    title: groups.lists,
    shortcuts: [
      { keys: [["/"]], action: actions.filter },
      { keys: [["j"]], action: actions.next },
      { keys: [["k"]], action: actions.previous },
      { keys: [["Enter"]], action: actions.openRow },
      { keys: [["."]], action: actions.menu },
    ],
  },
  {
    title: groups.objects,
    shortcuts: [
      { keys: [["c"]], action: actions.copy },
      { keys: [["e"]], action: actions.edit },
      { keys: [["1"], ["7"]], action: actions.tabs },
    ],
  },
  {
    title: groups.runs,
    shortcuts: [
      { keys: [["Space"]], action: actions.select },
      { keys: [[`${MODIFIER} A`]], action: actions.selectAll },
    ],
  },
  { title: groups.run, shortcuts: [{ keys: [["["], ["]"]], action: actions.failures }] },
  {
    title: groups.editor,
    shortcuts: [
      { keys: [["c"]], action: actions.connect },
      { keys: [["f"]], action: actions.fit },
      { keys: [[`${MODIFIER} Z`], [`${MODIFIER} Shift Z`]], action: actions.undo },
      { keys: [["Delete"]], action: actions.remove },
    ],
  },
];
