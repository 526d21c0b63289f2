import { FileUp } from "lucide-react";
import { type DragEvent, useId, useState } from "react";
import { bytes } from "../../formats/formats";
import { firstStepTexts } from "../../strings/first-steps";
import styles from "./new-flow.module.css";

/** What a file is expected to hold, by the end of its name. */
const ENDINGS = { model: ".onnx", flow: ".json" } as const;

interface FilePickerProps {
  kind: keyof typeof ENDINGS;
  file: File | null;
  onChange: (file: File) => void;
}

/** Takes a file that is dropped, or chosen with the system's dialog. */
export function FilePicker({ kind, file, onChange }: FilePickerProps) {
  const id = useId();
  const [isOver, setOver] = useState(false);
  const [refused, setRefused] = useState<string | null>(null);
  const take = (picked: File | undefined) => {
    if (!picked) return;
    const isExpected = picked.name.toLowerCase().endsWith(ENDINGS[kind]);
    setRefused(isExpected ? null : picked.name);
    if (isExpected) onChange(picked);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  };
  return (
    <div>
      <label
        htmlFor={id}
        className={styles.drop}
        data-over={isOver || undefined}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <FileUp size={20} aria-hidden />
        {file ? (
          <span>
            <strong>{file.name}</strong> {bytes(file.size)}
          </span>
        ) : (
          <span>
            {firstStepTexts.newFlow.drop[kind]}{" "}
            <span className={styles.link}>{firstStepTexts.newFlow.choose}</span>
          </span>
        )}
        <input
          id={id}
          type="file"
          accept={ENDINGS[kind]}
          aria-label={firstStepTexts.newFlow.file}
          className={styles.file}
          onChange={(event) => {
            take(event.target.files?.[0]);
            event.target.value = ""; // a file that was corrected can be chosen again
          }}
        />
      </label>
      {refused ? (
        <p role="alert" className={styles.refused}>
          {firstStepTexts.newFlow.wrongFile[kind](refused)}
        </p>
      ) : null}
    </div>
  );
}
