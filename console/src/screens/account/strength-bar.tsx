import type { ReactNode } from "react";
import { passwordTexts } from "../../strings/password";
import { missingCharacters, passwordStrength } from "./password-strength";
import { StrengthLine } from "./strength-line";

export interface StrengthBarProps {
  password: string;
  email: string;
  /** What is shown if the code that judges cannot be loaded. */
  hint: ReactNode;
}

/** How strong a password is, as a bar and in words. */
export function StrengthBar({ password, email }: StrengthBarProps) {
  const strength = passwordStrength(password, email);
  const { short, ...others } = passwordTexts.strengths;
  return (
    <StrengthLine strength={strength}>
      {strength === "short" ? short(missingCharacters(password)) : others[strength]}
    </StrengthLine>
  );
}
