import { useEffect, useRef, useState } from "react";
import { exactNumberIn, parseJson } from "../../../formats/lossless-json";
import { isSame } from "../../../formats/same";
import { editorTexts } from "../../../strings/editor";
import fieldStyles from "../../../ui/field.module.css";
import { descriptionId } from "./described";

interface JsonInputProps {
  id: string;
  /** Undefined: there is none, and the text is empty. */
  value: unknown;
  onChange: (value: unknown) => void;
}

/** A value as JSON; while the text is none, the value stays as it was. */
export function JsonInput({ id, value, onChange }: JsonInputProps) {
  const [text, setText] = useState(() => shown(value));
  const [error, setError] = useState<string | null>(null);
  const last = useRef(value);
  useEffect(() => {
    if (isSame(value, last.current)) return;
    last.current = value; // it was changed elsewhere: undone, or merged
    setText(shown(value));
    setError(null);
  }, [value]);
  const change = (typed: string) => {
    setText(typed);
    try {
      const exact = typed.trim() === "" ? undefined : parseJson(typed);
      const rounded = exact === undefined ? undefined : exactNumberIn(exact);
      if (rounded) {
        setError(editorTexts.panel.rounds(rounded.text));
        return;
      }
      const parsed: unknown = exact;
      last.current = parsed;
      setError(null);
      onChange(parsed);
    } catch (reason) {
      setError(editorTexts.panel.notJson(reason instanceof Error ? reason.message : String(reason)));
    }
  };
  return (
    <>
      <textarea
        id={id}
        className={`${fieldStyles.input} ${fieldStyles.area}`}
        value={text}
        rows={4}
        spellCheck={false}
        aria-invalid={error !== null}
        aria-describedby={error === null ? descriptionId(id) : `${id}-syntax`}
        onChange={(event) => change(event.target.value)}
      />
      {error === null ? null : (
        <span id={`${id}-syntax`} className={fieldStyles.error}>
          {error}
        </span>
      )}
    </>
  );
}

function shown(value: unknown): string {
  return value === undefined ? "" : JSON.stringify(value, null, 2);
}
