import { Field as BaseField } from "@base-ui/react/field";
import type { ComponentProps, ReactNode } from "react";
import styles from "./field.module.css";

interface FieldProps {
  label: string;
  hint?: ReactNode;
  /** What is wrong with the value; the control is then marked as invalid. */
  error?: string | undefined;
  children: ReactNode;
}

/** A label, a control, and below it a hint or what is wrong. */
export function Field({ label, hint, error, children }: FieldProps) {
  return (
    <BaseField.Root className={styles.field} invalid={error !== undefined}>
      <BaseField.Label className={styles.label}>{label}</BaseField.Label>
      {children}
      {error === undefined ? null : (
        <BaseField.Error className={styles.error} match>
          {error}
        </BaseField.Error>
      )}
      {hint ? <BaseField.Description className={styles.hint}>{hint}</BaseField.Description> : null}
    </BaseField.Root>
  );
}

export function TextInput({ className = "", ...rest }: ComponentProps<typeof BaseField.Control>) {
  return <BaseField.Control className={`${styles.input} ${className}`} {...rest} />;
}

export function TextArea(props: ComponentProps<"textarea">) {
  return (
    <BaseField.Control
      render={<textarea {...props} className={`${styles.input} ${styles.area}`} spellCheck={false} />}
    />
  );
}
