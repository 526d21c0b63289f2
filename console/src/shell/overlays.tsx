import { Search } from "lucide-react";
import { paletteTexts } from "../strings/palette";
import { ShortcutsDialog } from "./keyboard/shortcuts-dialog";
import { openOverlay, useOverlay } from "./overlay";
import { PaletteDialog } from "./palette/palette";
import styles from "./shell.module.css";

/** The command palette or the list of shortcuts, while it is open. */
export function Overlays() {
  const open = useOverlay((state) => state.open);
  return (
    <>
      {open === "palette" ? <PaletteDialog /> : null}
      {open === "shortcuts" ? <ShortcutsDialog /> : null}
    </>
  );
}

/** Opens the command palette by pointer. */
export function SearchButton() {
  return (
    <button
      type="button"
      className={styles.search}
      title={paletteTexts.title}
      aria-keyshortcuts="Control+K Meta+K"
      onClick={() => openOverlay("palette")}
    >
      <Search size={16} aria-hidden />
      <span className={styles.searchLabel}>{paletteTexts.open}</span>
    </button>
  );
}
