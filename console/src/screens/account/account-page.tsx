import type { ReactNode } from "react";
import { GatewayBanner } from "../../shell/gateway-banner";
import { t } from "../../strings";
import { Brand } from "../../ui/brand";
import { useTitle } from "../../ui/page";
import styles from "./account.module.css";

/** A page before there is a session: a card with a form, and beside it what follows. */
export function AccountPage({
  title,
  aside,
  children,
}: {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
}) {
  useTitle(title);
  return (
    <div className={styles.page}>
      <header className={styles.brand}>
        <Brand />
      </header>
      <GatewayBanner />
      <main className={aside ? `${styles.card} ${styles.wide}` : styles.card}>
        <div className={styles.main}>
          <h1>{title}</h1>
          {children}
        </div>
        {aside ? <aside className={styles.aside}>{aside}</aside> : null}
      </main>
      <footer className={styles.footer}>
        <a href="/docs" target="_blank" rel="noreferrer">
          {t.common.help}
        </a>
      </footer>
    </div>
  );
}
