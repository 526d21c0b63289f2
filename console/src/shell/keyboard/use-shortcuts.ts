import { useRouter } from "@tanstack/react-router";
import { useLayoutEffect } from "react";
import { copyIdOf } from "../copy-id";
import { objectAt, pathOf } from "../objects";
import { closeOverlay, openOverlay, useOverlay } from "../overlay";
import { focusFilter, moveRow, openActions, openTab } from "./rows";
import { useSingleKeys } from "./single-keys";

/** After `g`. */
const SCREENS: Record<string, string> = {
  f: "/flows",
  d: "/deployments",
  r: "/runs",
  m: "/models",
  k: "/settings/keys",
};
const SEQUENCE_MILLISECONDS = 1500;
/** Where keys write, or choose by their letter. */
const TAKEN =
  "input, textarea, select, [contenteditable=true], [role=combobox], [role=listbox], [role=menu], [role=radiogroup]";
/** Over the page; toasts are dialogs as well, which are not modal. */
const MODAL = ":is([role=dialog], [role=alertdialog]):not([aria-modal=false])";

/**
 * The keys that every page has. A key that a page has used for itself is not taken, nor one that is typed into a
 * field; single keys can be turned off.
 */
export function useShortcuts() {
  const router = useRouter();
  // As soon as the page is shown: a key that is pressed at once is not lost.
  useLayoutEffect(() => {
    let sequence = 0;
    const go = (path: string) => router.history.push(router.basepath + path);
    const here = () => window.location.pathname.slice(router.basepath.length);
    const edit = () => {
      const object = objectAt(here());
      if (object?.kind !== "flow") return false;
      go(pathOf(object));
      return true;
    };
    const single = (key: string): boolean => {
      const screen = sequence > 0 ? SCREENS[key] : undefined;
      clearTimeout(sequence);
      sequence = 0;
      if (screen !== undefined) go(screen);
      else if (key === "g") {
        sequence = window.setTimeout(() => {
          sequence = 0;
        }, SEQUENCE_MILLISECONDS);
      } else if (key === "?") openOverlay("shortcuts");
      else if (key === "/") return focusFilter();
      else if (key === "j" || key === "k") return moveRow(key === "j" ? 1 : -1);
      else if (key === ".") return openActions();
      else if (key === "c") return copyIdOf(here());
      else if (key === "e") return edit();
      else if (/^[1-9]$/.test(key)) return openTab(Number(key));
      else return false;
      return true;
    };
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing) return;
      if (opensPalette(event)) {
        if (useOverlay.getState().open === "palette") closeOverlay();
        else if (document.querySelector(MODAL)) return;
        else openOverlay("palette");
        event.preventDefault();
      } else if (isFree(event) && single(event.key)) event.preventDefault();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => {
      document.removeEventListener("keydown", onKeyDown);
      clearTimeout(sequence);
    };
  }, [router]);
}

function opensPalette({ key, ctrlKey, metaKey, shiftKey, altKey }: KeyboardEvent): boolean {
  return key.toLowerCase() === "k" && (ctrlKey || metaKey) && !shiftKey && !altKey;
}

function isFree({ ctrlKey, metaKey, altKey, target }: KeyboardEvent): boolean {
  if (ctrlKey || metaKey || altKey || !useSingleKeys.getState().isOn) return false;
  if (target instanceof Element && target.closest(TAKEN)) return false;
  return document.querySelector(MODAL) === null;
}
