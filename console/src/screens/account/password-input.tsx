import { type ReactNode, useState } from "react";
import { t } from "../../strings";
import { Button } from "../../ui/button";
import { Field, TextInput } from "../../ui/field";
import styles from "./account.module.css";

interface PasswordInputProps {
  label: string;
  autoComplete: "current-password" | "new-password";
  value: string;
  onChange: (value: string) => void;
  hint?: ReactNode;
  error?: string | undefined;
}

export function PasswordInput({ label, hint, error, value, onChange, autoComplete }: PasswordInputProps) {
  const [visible, setVisible] = useState(false);
  return (
    <Field label={label} hint={hint} error={error}>
      <span className={styles.password}>
        <TextInput
          type={visible ? "text" : "password"}
          name="password"
          required
          autoComplete={autoComplete}
          value={value}
          onValueChange={onChange}
        />
        <Button aria-pressed={visible} onClick={() => setVisible(!visible)}>
          {visible ? t.login.hide : t.login.show}
        </Button>
      </span>
    </Field>
  );
}
