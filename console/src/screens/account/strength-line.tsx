import type { ReactNode } from "react";
import styles from "./account.module.css";
import type { Strength } from "./password-strength";

/** A bar and a line of text, which have the same height before and while a password is typed. */
export function StrengthLine({ strength, children }: { strength?: Strength; children: ReactNode }) {
  return (
    <span className={styles.strength} data-strength={strength}>
      <span className={styles.bar} aria-hidden />
      {children}
    </span>
  );
}
