import { type ReactNode, useEffect } from "react";
import { create } from "zustand";
import styles from "./page.module.css";

interface PageProps {
  title: string;
  /** From the object to the area, for the window's title: "Iris classifier · Deployments · Slipstream". */
  area?: string;
  facts?: ReactNode;
  actions?: ReactNode;
  /** Something of it goes on: its window's title says so. */
  isRunning?: boolean;
  children: ReactNode;
}

export function Page({ title, area, isRunning = false, facts, actions, children }: PageProps) {
  useTitle(area ? `${title} · ${area}` : title, isRunning);
  return (
    <>
      <header className={styles.header}>
        <div className={styles.heading}>
          <h1>{title}</h1>
          {facts ? <div className={styles.facts}>{facts}</div> : null}
        </div>
        {actions ? <div className={styles.actions}>{actions}</div> : null}
      </header>
      <div className={styles.content}>{children}</div>
    </>
  );
}

/** A state without objects: what they are for, and the one next step. */
export function EmptyState({ text, action }: { text: string; action: ReactNode }) {
  return (
    <div className={styles.empty}>
      <p>{text}</p>
      {action}
    </div>
  );
}

export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={styles.section}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** Set the window's title, which the shell also announces to screen readers. */
export function useTitle(title: string, isRunning = false) {
  useEffect(() => {
    document.title = `${isRunning ? "◐ " : ""}${title} · Slipstream`;
    usePageTitle.setState({ title });
  }, [title, isRunning]);
}

export const usePageTitle = create<{ title: string }>(() => ({ title: "" }));
