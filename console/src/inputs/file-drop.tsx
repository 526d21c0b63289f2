import { FileUp } from "lucide-react";
import { type ClipboardEvent, type DragEvent, type ReactNode, useId, useState } from "react";
import styles from "./inputs.module.css";

interface FileDropProps {
  /** The name of the control. */
  label: string;
  choose: string;
  hint: string;
  accept: string;
  onFile: (file: File) => void;
  /** What stands beside it. */
  children?: ReactNode;
}

/** Takes a file that is dropped, pasted, or chosen with the system's dialog. */
export function FileDrop({ label, choose, hint, accept, onFile, children }: FileDropProps) {
  const id = useId();
  const [isOver, setOver] = useState(false);
  const take = (file: File | undefined) => {
    if (file) onFile(file);
    return file !== undefined;
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  };
  const paste = (event: ClipboardEvent) => {
    if (take(event.clipboardData.files[0])) event.preventDefault();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the file input within does the same by keyboard
    <div
      className={styles.drop}
      data-over={isOver || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
      onPaste={paste}
    >
      <label htmlFor={id} className={styles.choose}>
        <FileUp size={14} aria-hidden />
        {choose}
        <input
          id={id}
          type="file"
          accept={accept}
          aria-label={label}
          className={styles.file}
          onChange={(event) => {
            take(event.target.files?.[0]);
            event.target.value = ""; // so that the same file can be chosen again
          }}
        />
      </label>
      {children}
      <span className={styles.hint}>{hint}</span>
    </div>
  );
}
