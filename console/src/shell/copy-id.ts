import { paletteTexts } from "../strings/palette";
import { toast } from "../ui/toast";
import { objectAt } from "./objects";

/** Put the id of the object that a page shows on the clipboard. Returns whether it shows one. */
export function copyIdOf(path: string): boolean {
  const object = objectAt(path);
  if (!object) return false;
  // Without https there is no clipboard, except on this machine.
  const written = navigator.clipboard?.writeText(object.id) ?? Promise.reject();
  written.then(
    () => toast(paletteTexts.copied(object.id)),
    () => toast(paletteTexts.notCopied),
  );
  return true;
}
