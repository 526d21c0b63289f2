import { createLink } from "@tanstack/react-router";
import type { ComponentProps, ReactNode } from "react";
import styles from "./tabs.module.css";

/** The parts of a page, each with an address of its own. */
export function Tabs({ label, children }: { label: string; children: ReactNode }) {
  return (
    <nav className={styles.tabs} aria-label={label} data-tabs="">
      {children}
    </nav>
  );
}

function Anchor({ className = "", ...rest }: ComponentProps<"a">) {
  return <a className={`${styles.tab} ${className}`} {...rest} />;
}

export const Tab = createLink(Anchor);
