import { type DragEvent, type ReactNode, useState } from "react";
import styles from "./drop-area.module.css";

interface DropAreaProps {
  /** What a file does that is dropped here. */
  hint: string;
  onFile: (file: File) => void;
  children: ReactNode;
}

/** Takes a file that is dropped anywhere on it; a button has to do the same by keyboard. */
export function DropArea({ hint, onFile, children }: DropAreaProps) {
  const [isOver, setOver] = useState(false);
  const over = (event: DragEvent) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    setOver(true);
  };
  const dropped = (event: DragEvent) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer.files[0];
    if (file) onFile(file);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a button beside it does the same by keyboard
    <div
      className={styles.area}
      data-over={isOver || undefined}
      onDragOver={over}
      onDragLeave={() => setOver(false)}
      onDrop={dropped}
    >
      {isOver ? <p className={styles.hint}>{hint}</p> : null}
      {children}
    </div>
  );
}
