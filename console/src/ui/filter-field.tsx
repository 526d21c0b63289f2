import { type ComponentProps, useEffect, useEffectEvent, useRef, useState } from "react";
import { Field, TextInput } from "./field";

const TYPING_MILLISECONDS = 250;

interface FilterFieldProps extends Pick<ComponentProps<typeof TextInput>, "type" | "placeholder"> {
  label: string;
  /** The filter, as the address has it. */
  value: string;
  onChange: (value: string) => void;
  /** Returns what the address gets for a text; null: the text is refused, with `error`. */
  read?: (text: string) => string | null;
  error?: string;
}

/** A text that filters when typing pauses: the address follows the text, and other changes of it the text. */
export function FilterField({ label, value, onChange, read = same, error, ...input }: FilterFieldProps) {
  const [text, setText] = useState(value);
  /** The values that the address has, or will have: it gets what was sent a moment later. */
  const known = useRef([value]);
  const wanted = read(text.trim());
  useEffect(() => {
    const at = known.current.indexOf(value);
    if (at < 0) setText(value);
    known.current = at < 0 ? [value] : known.current.slice(at);
  }, [value]);
  const send = useEffectEvent((next: string) => {
    known.current.push(next);
    onChange(next);
  });
  useEffect(() => {
    if (wanted === null || wanted === known.current.at(-1)) return;
    const timer = setTimeout(() => send(wanted), TYPING_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [wanted]);
  return (
    <Field label={label} error={wanted === null ? error : undefined}>
      <TextInput {...input} data-list-filter="" autoComplete="off" value={text} onValueChange={setText} />
    </Field>
  );
}

function same(text: string): string {
  return text;
}
