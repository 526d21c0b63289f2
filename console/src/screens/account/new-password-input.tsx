import { type ComponentType, lazy, Suspense } from "react";
import { PasswordInput } from "./password-input";
import type { StrengthBarProps } from "./strength-bar";
import { StrengthLine } from "./strength-line";

// Not with the page, whose script has a small budget; a form works without it.
const StrengthBar = lazy<ComponentType<StrengthBarProps>>(() =>
  import("./strength-bar").then(
    ({ StrengthBar: loaded }) => ({ default: loaded }),
    () => ({ default: ({ hint }: StrengthBarProps) => <StrengthLine>{hint}</StrengthLine> }),
  ),
);

interface NewPasswordInputProps {
  label: string;
  hint: string;
  error: string | undefined;
  /** Of the user: it makes a password easy to guess. */
  email: string;
  value: string;
  onChange: (value: string) => void;
}

/** A field for a new password, which says how strong it is. */
export function NewPasswordInput({ hint, email, ...rest }: NewPasswordInputProps) {
  const untyped = <StrengthLine>{hint}</StrengthLine>;
  const typed = (
    <Suspense fallback={untyped}>
      <StrengthBar password={rest.value} email={email} hint={hint} />
    </Suspense>
  );
  return <PasswordInput {...rest} autoComplete="new-password" hint={rest.value ? typed : untyped} />;
}
