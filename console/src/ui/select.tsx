import { Field as BaseField } from "@base-ui/react/field";
import type { ComponentProps } from "react";
import styles from "./field.module.css";

interface SelectProps<Value extends string> extends Omit<ComponentProps<"select">, "onChange" | "value"> {
  options: readonly { value: Value; label: string }[];
  value: Value;
  onChange: (value: Value) => void;
}

/** The browser's own list of choices, within a `Field`; a value that is none of them is shown, too. */
export function Select<Value extends string>({
  options,
  value,
  onChange,
  className = "",
  ...rest
}: SelectProps<Value>) {
  const isKnown = options.some((option) => option.value === value);
  const shown = isKnown ? options : [{ value, label: value }, ...options];
  return (
    <BaseField.Control
      render={
        <select
          {...rest}
          className={`${styles.input} ${className}`}
          value={value}
          onChange={(event) => onChange(event.target.value as Value)}
        >
          {shown.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
      }
    />
  );
}

/** Return the options of a filter: any value, which is "", and those of `pairs` with their labels. */
export function filterOptions(any: string, pairs: readonly (readonly [string, string])[]) {
  return [{ value: "", label: any }, ...pairs.map(([value, label]) => ({ value, label }))];
}
