import type { FieldProps } from "@rjsf/utils";
import { useState } from "react";
import { isSame } from "../../../formats/same";
import { TextInput } from "../../../ui/field";
import { descriptionId } from "./described";

type Statuses = readonly (string | number)[];

/** A list of HTTP statuses, separated by commas. */
export function StatusesField({ fieldPathId, formData, schema, onChange }: FieldProps) {
  const value = (formData ?? []) as Statuses;
  const [typed, setTyped] = useState(() => value.join(", "));
  // What was changed elsewhere, undone or merged, replaces the text.
  const text = isSame(statusesOf(typed), value) ? typed : value.join(", ");
  const change = (next: string) => {
    setTyped(next);
    const statuses = statusesOf(next);
    onChange(statuses.length ? statuses : undefined, fieldPathId.path);
  };
  return (
    <TextInput
      id={fieldPathId.$id}
      value={text}
      placeholder={Array.isArray(schema.default) ? schema.default.join(", ") : undefined}
      aria-describedby={descriptionId(fieldPathId.$id)}
      onValueChange={change}
    />
  );
}

function statusesOf(text: string): Statuses {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}
