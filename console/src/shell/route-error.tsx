import { type ErrorComponentProps, useRouter } from "@tanstack/react-router";
import { useEffect } from "react";
import { useConnection } from "../api/connection";
import { ErrorNotice } from "../ui/notice";
import styles from "./shell.module.css";

/** A page that could not be opened; it is opened again by itself when the gateway is back. */
export function RouteError({ error }: ErrorComponentProps) {
  const router = useRouter();
  const isAway = useConnection((connection) => connection.awaySince !== null);
  useEffect(() => {
    if (!isAway) return;
    return () => void router.invalidate();
  }, [isAway, router]);
  return (
    <main className={styles.alone}>
      <ErrorNotice error={error} retry={() => void router.invalidate()} />
    </main>
  );
}
