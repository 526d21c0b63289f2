import { CircleAlert, Info, TriangleAlert } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { GatewayAway } from "../api/connection";
import { ProblemError } from "../api/problem";
import { t } from "../strings";
import { Button } from "./button";
import styles from "./notice.module.css";

const ICONS = { info: Info, warn: TriangleAlert, bad: CircleAlert } as const;

interface NoticeProps {
  kind: keyof typeof ICONS;
  title?: string;
  children?: ReactNode;
  action?: ReactNode;
  /** It appears after something was done, and is read out; what is wrong always is. */
  announced?: boolean;
}

export function Notice({ kind, title, children, action, announced = false }: NoticeProps) {
  const Icon = ICONS[kind];
  const role = kind === "bad" ? "alert" : announced ? "status" : undefined;
  return (
    <div className={`${styles.notice} ${styles[kind]}`} role={role}>
      <Icon size={16} aria-hidden className={styles.icon} />
      <div className={styles.text}>
        {title ? <strong>{title}</strong> : null}
        {children}
      </div>
      {action}
    </div>
  );
}

interface ErrorNoticeProps {
  error: unknown;
  retry?: (() => void) | undefined;
}

/** What went wrong: title, message, code and request id, and where it helps a button that tries again. */
export function ErrorNotice({ error, retry }: ErrorNoticeProps) {
  if (error instanceof ProblemError) return <ProblemNotice error={error} retry={retry} />;
  const action = retry ? <Button onClick={retry}>{t.common.retry}</Button> : null;
  return (
    <Notice kind="bad" title={t.errors.title} action={action}>
      <p>{errorMessage(error)}</p>
    </Notice>
  );
}

/** What went wrong, in a sentence. */
export function errorMessage(error: unknown): string {
  if (error instanceof ProblemError) return error.problem.message;
  return error instanceof GatewayAway ? t.errors.away : t.errors.unexpected;
}

function ProblemNotice({ error, retry }: { error: ProblemError; retry: (() => void) | undefined }) {
  const { problem, retryAfter } = error;
  const action = retry ? <RetryButton retry={retry} after={problem.retryable ? retryAfter : null} /> : null;
  return (
    <Notice kind="bad" title={problem.title} action={action}>
      <p>{problem.message}</p>
      <p className={styles.facts}>
        <code>{problem.code}</code>
        {problem.request_id ? <span>{t.errors.request(problem.request_id)}</span> : null}
        {problem.docs_url.startsWith("/problems/") ? (
          <a href={problem.docs_url} target="_blank" rel="noreferrer">
            {t.errors.meaning}
          </a>
        ) : null}
      </p>
    </Notice>
  );
}

/** Tries again when pressed, and says in how many seconds the gateway expects that to succeed. */
function RetryButton({ retry, after }: { retry: () => void; after: number | null }) {
  const left = useCountdown(after);
  return <Button onClick={retry}>{left ? t.errors.retryIn(left) : t.common.retry}</Button>;
}

function useCountdown(seconds: number | null): number | null {
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    setLeft(seconds);
    if (seconds === null) return;
    const timer = setInterval(() => setLeft((now) => (now ? now - 1 : now)), 1000);
    return () => clearInterval(timer);
  }, [seconds]);
  return left;
}
